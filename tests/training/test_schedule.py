from __future__ import annotations

import pytest

from sports_clip_pipeline.training.schedule import warmup_cosine


def test_the_rate_rises_in_equal_steps_and_falls_along_a_cosine() -> None:
    rates = [warmup_cosine(step, 10, 1.0, 0.2) for step in range(10)]
    assert rates[:3] == [0.5, 1.0, 1.0]
    assert rates[6] == pytest.approx(0.5)  # half way through the eight falling steps
    assert rates[2:] == sorted(rates[2:], reverse=True)
    assert 0 < rates[-1] < 0.05


def test_without_warm_up_the_first_step_has_the_peak() -> None:
    assert warmup_cosine(0, 10, 3.0, 0.0) == 3.0


def test_a_single_step_has_a_rate_above_zero() -> None:
    assert warmup_cosine(0, 1, 1.0, 0.1) > 0
    assert warmup_cosine(0, 1, 1.0, 0.0) > 0
