from __future__ import annotations

import numpy as np

from sports_clip_pipeline.predictor.batch_prediction import NONE_OF_THESE, predict_rows

ROWS = np.array([[0.6, 0.4], [0.5, 0.5], [0.1, 0.9]])


def test_an_answer_below_the_threshold_is_none_of_these() -> None:
    assert predict_rows(ROWS, ("a", "b"), 0.55) == ["a", NONE_OF_THESE, "b"]


def test_an_answer_at_the_threshold_stands() -> None:
    assert predict_rows(ROWS, ("a", "b"), 0.6) == ["a", NONE_OF_THESE, "b"]


def test_without_a_threshold_every_row_has_its_most_probable_class() -> None:
    assert predict_rows(ROWS, ("a", "b"), None) == ["a", "a", "b"]
