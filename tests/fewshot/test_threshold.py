from __future__ import annotations

import numpy as np
import pytest

from sports_clip_pipeline.fewshot.shipping import abstention_threshold


def held_out(*confidences: float) -> np.ndarray:
    """Rows of two classes whose greater probability is given; it stands in either column."""
    rows = np.array([[value, 1 - value] for value in confidences])
    rows[::2] = rows[::2, ::-1]
    return rows


def test_of_four_rows_three_keep_their_answer_at_three_quarters() -> None:
    assert abstention_threshold(held_out(0.9, 0.6, 0.8, 0.7), 0.75) == pytest.approx(0.7)


def test_of_twenty_rows_the_least_sure_one_is_refused() -> None:
    confidences = [0.5 + place / 50 for place in range(20)]  # .50, .52, … .88
    threshold = abstention_threshold(held_out(*confidences))
    assert threshold == pytest.approx(0.52)
    assert sum(value >= threshold for value in np.max(held_out(*confidences), axis=1)) == 19


@pytest.mark.parametrize("rows", [1, 7, 19, 20, 21, 99, 100, 101, 8821])
def test_at_least_the_wanted_share_keeps_its_answer_and_one_more_refusal_would_be_too_much(
    rows: int,
) -> None:
    probabilities = np.random.default_rng(rows).dirichlet([0.3] * 4, rows)
    confidence = probabilities.max(axis=1)
    threshold = abstention_threshold(probabilities)
    assert threshold is not None
    assert (confidence >= threshold).mean() >= 0.95
    assert (confidence > threshold).sum() < 0.95 * rows


def test_rows_that_were_never_held_out_have_no_say() -> None:
    rows = held_out(0.9, 0.6, 0.8, 0.7)
    blank = np.full((3, 2), np.nan)
    assert abstention_threshold(np.concatenate([blank, rows]), 0.75) == pytest.approx(0.7)


def test_equal_confidences_are_all_kept() -> None:
    assert abstention_threshold(held_out(*[0.8] * 40)) == pytest.approx(0.8)


def test_where_nothing_was_held_out_nothing_is_refused() -> None:
    assert abstention_threshold(None) is None
    assert abstention_threshold(np.full((3, 2), np.nan)) is None
