import numpy as np
import pytest

from sports_clip_pipeline.data.transforms import ImageTransform
from sports_clip_pipeline.fewshot.base import Fit
from sports_clip_pipeline.fewshot.trial import (
    FittedTrial,
    TrialKey,
    abstention_threshold,
    trial_predictor,
)
from sports_clip_pipeline.predictor.head import Head, Operation, columns
from sports_clip_pipeline.predictor.predictor import EncoderInput, Predictor

ENCODERS = [
    EncoderInput(name, ImageTransform(64, (0.5,) * 3, (0.5,) * 3), ("full",), 1280)
    for name in ("lite2", "lite0")
]


NEVER_HELD_OUT = np.full((3, 2), np.nan)


def shipped(*operations: Operation, held_out: np.ndarray = NEVER_HELD_OUT) -> Predictor:
    fit = Fit(Head(operations), 2.0, {"c": 1.0}, 0.5, 1.0, held_out)
    fitted = FittedTrial(TrialKey("gda", 0.1, 3), fit, 88, 0.1, False)
    return trial_predictor(fitted, ("chess", "kabaddi"), ENCODERS, {}, 0.95)


def test_a_trial_that_reads_all_encoders_ships_with_all() -> None:
    predictor = shipped(Operation("l2_normalise"))
    assert [encoder.name for encoder in predictor.encoders] == ["lite2", "lite0"]
    assert predictor.origin["method"] == "gda"
    assert (predictor.origin["fraction"], predictor.temperature) == (0.1, 2.0)


def test_a_trial_that_reads_the_first_encoder_ships_without_the_others() -> None:
    predictor = shipped(columns(0, 1280), Operation("l2_normalise"))
    assert [encoder.name for encoder in predictor.encoders] == ["lite2"]
    assert predictor.head.describe() == ["l2_normalise"]
    predictor = shipped(columns(0, 3))
    assert len(predictor.encoders) == 2
    assert predictor.head.describe() == ["columns"]


def held_out(*confidences: float) -> np.ndarray:
    """Rows of two classes whose greater probability is given; it stands in either column."""
    rows = np.array([[value, 1 - value] for value in confidences])
    rows[::2] = rows[::2, ::-1]
    return rows


def test_the_threshold_is_that_of_the_trials_own_held_out_predictions() -> None:
    confidences = np.linspace(0.6, 0.98, 20)
    predictor = shipped(Operation("l2_normalise"), held_out=held_out(*confidences))
    assert predictor.threshold == confidences[1]
    assert shipped(Operation("l2_normalise")).threshold is None


def test_a_coverage_of_three_quarters_rejects_one_of_four_rows() -> None:
    rows = held_out(0.9, 0.6, 0.8, 0.7)
    assert abstention_threshold(rows, 0.75) == pytest.approx(0.7)
    assert abstention_threshold(np.concatenate([NEVER_HELD_OUT, rows]), 0.75) == pytest.approx(0.7)


def test_rows_of_equal_confidence_are_all_answered() -> None:
    assert abstention_threshold(held_out(*[0.8] * 40), 0.95) == pytest.approx(0.8)


@pytest.mark.parametrize("rows", [1, 7, 19, 20, 21, 99, 100, 101, 8821])
def test_the_threshold_is_the_highest_that_reaches_the_coverage(rows: int) -> None:
    probabilities = np.random.default_rng(rows).dirichlet([0.3] * 4, rows)
    confidence = probabilities.max(axis=1)
    threshold = abstention_threshold(probabilities, 0.95)
    assert threshold is not None
    assert (confidence >= threshold).mean() >= 0.95
    assert (confidence > threshold).sum() < 0.95 * rows


def test_where_nothing_was_held_out_there_is_no_threshold() -> None:
    assert abstention_threshold(NEVER_HELD_OUT, 0.95) is None
