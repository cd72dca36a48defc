from __future__ import annotations

import pytest

from sports_clip_pipeline.config.judging import JudgingConfig


def test_accuracies_may_come_from_the_command_line() -> None:
    assert JudgingConfig(accuracies="0.5+0.9").accuracies == (0.5, 0.9)


@pytest.mark.parametrize(
    "wrong",
    [{"accuracies": (1.5,)}, {"label_next": 0}, {"label_next_fraction": 0.0}, {"resamples": 1}],
)
def test_values_out_of_range_name_their_field(wrong: dict) -> None:
    with pytest.raises(Exception, match=f"judging.{next(iter(wrong))}"):
        JudgingConfig(**wrong)
