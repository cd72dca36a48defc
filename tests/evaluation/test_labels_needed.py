from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.isotonic import IsotonicRegression

from sports_clip_pipeline.evaluation.learning_curves import labels_at, labels_needed, non_decreasing
from sports_clip_pipeline.evaluation.test_predictions import arm_key

LABELS = np.array([100.0, 1000.0, 10_000.0])
FRACTIONS = (0.01, 0.1, 1.0)
PHOTOGRAPHS = 1000
TARGET = np.zeros(PHOTOGRAPHS, dtype=np.int64)


def answers(right: int) -> np.ndarray:
    """(N, 2) float16; right on the first `right` photographs."""
    share = (np.arange(PHOTOGRAPHS) < right).astype(np.float16)
    return np.stack([share, 1 - share], axis=1)


def study(**methods: tuple[float, ...]) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Curves of three points with two like seeds each."""
    rows, arms = [], {}
    for method, curve in methods.items():
        for fraction, labels, top1 in zip(FRACTIONS, LABELS, curve, strict=True):
            rows.append((method, fraction, int(labels), top1))
            for seed in (0, 1):
                arms[arm_key(method, fraction, seed)] = answers(round(top1 * PHOTOGRAPHS))
    return pd.DataFrame(rows, columns=["method", "fraction", "labels", "top1_mean"]), arms


def test_between_points_labels_are_interpolated_on_a_logarithmic_scale() -> None:
    curve = np.array([[0.6, 0.8, 0.9]])
    assert labels_at(LABELS, curve, 0.7) == pytest.approx([100 * 10**0.5])
    assert labels_at(LABELS, curve, 0.85) == pytest.approx([1000 * 10**0.5])
    assert labels_at(LABELS, curve, 0.8) == pytest.approx([1000])
    assert labels_at(LABELS, curve, 0.9) == pytest.approx([10_000])


def test_what_the_fewest_labels_reach_needs_at_most_those() -> None:
    assert labels_at(LABELS, np.array([[0.6, 0.8, 0.9]]), 0.5) == pytest.approx([100])


def test_beyond_the_last_point_a_power_law_goes_on_up_to_a_hundred_times_the_labels() -> None:
    curve = 1.0 - 2.0 * LABELS[None, :] ** -0.3
    assert labels_at(LABELS, curve, 0.9) == pytest.approx([20 ** (1 / 0.3)])
    assert np.isinf(labels_at(LABELS, curve, 0.999))
    assert np.isinf(labels_at(LABELS[:2], curve[:, :2], 0.9))


def test_an_extrapolation_goes_on_from_the_last_point() -> None:
    """Errors .4, .2, .18: the rate over all, but no labels are saved by the law's poor fit."""
    curve = np.array([[0.6, 0.8, 0.82]])
    assert labels_at(LABELS, curve, 0.8201)[0] == pytest.approx(10_000, rel=0.01)
    rate = np.log10(0.4 / 0.18) / 2
    assert labels_at(LABELS, curve, 0.91)[0] == pytest.approx(10_000 * 2 ** (1 / rate))


def test_a_curve_that_dips_is_made_non_decreasing_as_isotonic_regression_does() -> None:
    rng = np.random.default_rng(0)
    values = rng.random((20, 7)).cumsum(axis=1) + rng.normal(0, 0.5, (20, 7))
    expected = [IsotonicRegression().fit_transform(np.arange(7), row) for row in values]
    np.testing.assert_allclose(non_decreasing(values), expected)
    dip = np.array([[0.6, 0.5, 0.9]])  # pooled to 0.55, 0.55, 0.9
    assert labels_at(LABELS, dip, 0.725) == pytest.approx([1000 * 10**0.5])


def test_the_table_names_how_each_number_was_got() -> None:
    curves, arms = study(a=(0.6, 0.8, 0.9), b=(0.5, 0.5, 0.5))
    table = labels_needed(curves, arms, TARGET, (0.95, 0.5, 0.7, 0.99), resamples=200)
    assert list(table.columns) == ["method", "target", "labels", "low", "high", "kind"]
    assert table["method"].tolist() == ["a"] * 4 + ["b"] * 4
    assert table["target"].tolist() == [0.5, 0.7, 0.95, 0.99] * 2
    kinds = ["measured below", "interpolated", "extrapolated", "out of reach"]
    assert table["kind"].tolist()[:4] == kinds
    assert table["kind"].tolist()[4:] == ["measured below"] + ["out of reach"] * 3
    assert table["labels"][0] == 100
    assert table["labels"][2] == pytest.approx(100_000)  # each decade halves the error
    assert np.isinf(table["labels"][3])  # 3.3 decades
    assert table["labels"][1] == np.ceil(100 * 10**0.5)
    assert np.isinf(table["labels"][5:]).all()
    assert ((table["low"] <= table["labels"]) & (table["labels"] <= table["high"])).all()


def test_the_interval_is_that_of_the_labels() -> None:
    """With 1,000 photographs ±2.8 points on a slope of 20 points a decade is 0.14 decades."""
    curves, arms = study(a=(0.6, 0.8, 0.9))
    row = labels_needed(curves, arms, TARGET, [0.7], resamples=2000).iloc[0]
    half = 1.96 * np.sqrt(0.7 * 0.3 / PHOTOGRAPHS) / 0.2
    assert np.log10(row["labels"] / row["low"]) == pytest.approx(half, rel=0.2)
    assert np.log10(row["high"] / row["labels"]) == pytest.approx(half, rel=0.2)


def test_a_flat_end_leaves_the_upper_bound_open() -> None:
    curves, arms = study(a=(0.8, 0.805, 0.81))
    row = labels_needed(curves, arms, TARGET, [0.81], resamples=500).iloc[0]
    assert row["kind"] == "interpolated"
    assert np.isinf(row["high"])
    assert row["low"] < 10_000


def test_bad_accuracies_and_missing_arms_are_named() -> None:
    curves, arms = study(a=(0.6, 0.8, 0.9))
    with pytest.raises(ValueError, match=r"in \(0, 1\], got 60"):
        labels_needed(curves, arms, TARGET, [60])
    del arms["a/0.1/0"], arms["a/0.1/1"]
    with pytest.raises(ValueError, match=r"no arm of a at fraction 0\.1"):
        labels_needed(curves, arms, TARGET, [0.7])
