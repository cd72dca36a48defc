import numpy as np
import pytest

from sports_clip_pipeline.evaluation.calibration import (
    brier_score,
    calibration_table,
    expected_calibration_error,
    reliability_bins,
    reliability_table,
)


def test_the_examples_of_the_docstrings_hold() -> None:
    confidence, correct = np.array([0.8, 0.8, 0.6]), np.array([True, False, True])
    error = expected_calibration_error(confidence, correct, 2, "equal_width")
    assert error == pytest.approx(1 / 15)
    assert brier_score(np.array([[0.7, 0.3]]), np.array([0])) == pytest.approx(0.18)


def test_bins_of_equal_width_are_open_below_and_closed_above() -> None:
    confidence = np.array([0.5, 0.25, 0.51, 1.0, 0.0])
    correct = np.array([True, False, True, False, False])
    table = reliability_bins(confidence, correct, 4, "equal_width")
    assert table["bin"].tolist() == [0, 1, 2, 3]
    assert table["low"].tolist() == [0.0, 0.25, 0.5, 0.75]
    assert table["high"].tolist() == [0.25, 0.5, 0.75, 1.0]
    assert table["images"].tolist() == [2, 1, 1, 1]
    assert table["confidence"].tolist() == pytest.approx([0.125, 0.5, 0.51, 1.0])
    assert table["accuracy"].tolist() == [0.0, 1.0, 1.0, 0.0]
    sparse = reliability_bins(np.array([0.95, 0.15]), np.array([True, False]), 10, "equal_width")
    assert sparse["bin"].tolist() == [1, 9], "empty bins are left out"


def test_bins_of_equal_mass_share_the_images_evenly() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.random(103) ** 0.2
    table = reliability_bins(confidence, rng.random(103) < confidence, 10, "equal_mass")
    assert set(table["images"]) == {10, 11}
    assert (table["low"].to_numpy()[1:] >= table["high"].to_numpy()[:-1]).all()
    assert (table["images"] * table["confidence"]).sum() == pytest.approx(confidence.sum())


@pytest.mark.parametrize("kind", ["equal_width", "equal_mass"])
def test_the_calibration_error_agrees_with_a_naive_loop(kind: str) -> None:
    rng = np.random.default_rng(1)
    confidence, bins = rng.permutation(np.linspace(0.2, 0.999, 60)), 6
    correct = rng.random(60) < 0.5
    if kind == "equal_width":
        edges = [i / bins for i in range(bins)]
        groups = [np.flatnonzero((confidence > e) & (confidence <= e + 1 / bins)) for e in edges]
    else:
        groups = list(np.argsort(confidence).reshape(bins, -1))
    expected = sum(abs(correct[g].mean() - confidence[g].mean()) * len(g) for g in groups if len(g))
    found = expected_calibration_error(confidence, correct, bins, kind)
    assert found == pytest.approx(expected / 60)


def test_full_confidence_and_half_accuracy_is_an_error_of_half() -> None:
    correct = np.arange(100) % 2 == 0
    assert expected_calibration_error(np.ones(100), correct, 15, "equal_width") == 0.5
    assert expected_calibration_error(np.full(100, 0.5), correct, 10, "equal_mass") == 0.0


def test_brier_agrees_with_the_sum_over_classes_and_reads_half_precision() -> None:
    rng = np.random.default_rng(2)
    probabilities, target = rng.dirichlet(np.ones(4), 50), rng.integers(4, size=50)
    expected = ((probabilities - np.eye(4)[target]) ** 2).sum(axis=1).mean()
    assert brier_score(probabilities, target) == pytest.approx(expected)
    half = brier_score(probabilities.astype(np.float16), target)
    assert half == pytest.approx(expected, abs=1e-3)


def test_tables_have_a_row_a_method_and_fraction_and_a_row_a_bin() -> None:
    sure = np.array([[1.0, 0.0], [1.0, 0.0]], dtype=np.float16)
    even = np.array([[0.75, 0.25], [0.25, 0.75]], dtype=np.float16)
    trials = {"b/0.1/1": sure, "b/0.1/0": even, "zero_shot/0/0": even}
    table = calibration_table(trials, np.array([0, 1]), 15)
    assert table[["method", "fraction", "seeds"]].to_numpy().tolist() == [
        ["b", 0.1, [0, 1]],
        ["zero_shot", 0.0, [0]],
    ]
    assert table["top1"].tolist() == [0.75, 1.0]
    assert table["ece_equal_width"].tolist() == [0.375, 0.25]
    assert table["brier"].tolist() == [0.5625, 0.125]
    bins = reliability_table(trials, np.array([0, 1]), 2)
    assert bins.columns.tolist()[:3] == ["method", "fraction", "bin"]
    assert bins["images"].tolist() == [2, 2, 1, 1]
    assert bins["accuracy"].tolist() == [1.0, 0.5, 1.0, 1.0]


def test_other_lengths_and_kinds_are_rejected() -> None:
    with pytest.raises(ValueError, match=r"\(2,\) confidences for \(3,\) predictions"):
        reliability_bins(np.ones(2), np.ones(3, bool), 5, "equal_width")
    with pytest.raises(ValueError, match="got 'square'"):
        reliability_bins(np.ones(2), np.ones(2, bool), 5, "square")
