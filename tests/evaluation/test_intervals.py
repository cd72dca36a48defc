from __future__ import annotations

import numpy as np
import pytest

from sports_clip_pipeline.evaluation.intervals import bootstrap_interval


def test_all_right_has_no_width() -> None:
    assert bootstrap_interval(np.ones((3, 20), bool), seed=0, resamples=200) == (1.0, 1.0)


def test_one_seed_comes_near_the_normal_approximation() -> None:
    correct = (np.arange(400) < 300)[None, :]
    low, high = bootstrap_interval(correct, seed=0)
    half = 1.96 * np.sqrt(0.75 * 0.25 / 400)
    assert (low, high) == pytest.approx((0.75 - half, 0.75 + half), abs=0.006)


def test_seeds_that_differ_widen_the_interval() -> None:
    same = np.tile(np.arange(100) < 50, (2, 1))
    apart = np.stack([np.arange(100) < 10, np.arange(100) < 90])
    low, high = bootstrap_interval(same, 0, 500)
    wide_low, wide_high = bootstrap_interval(apart, 0, 500)
    assert wide_low < low < high < wide_high


def test_the_seed_decides() -> None:
    correct = np.random.default_rng(0).random((2, 57)) < 0.6
    assert bootstrap_interval(correct, 1, 300) == bootstrap_interval(correct, 1, 300)
    assert bootstrap_interval(correct, 1, 300) != bootstrap_interval(correct, 2, 300)


@pytest.mark.parametrize("shape", [(5,), (0, 5), (2, 0)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"correct is \(S, N\)"):
        bootstrap_interval(np.ones(shape, bool), 0)
