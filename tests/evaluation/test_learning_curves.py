import json

import numpy as np
import pandas as pd
import pytest
from sklearn.isotonic import IsotonicRegression

from sports_clip_pipeline.evaluation.bootstrap import Bootstrap
from sports_clip_pipeline.evaluation.learning_curves import (
    ScoredTrial,
    best_trials,
    fit_power_law,
    labels_at,
    labels_needed,
    learning_curves,
    non_decreasing,
    score_trial,
    trial_probabilities,
    trials_table,
)
from sports_clip_pipeline.fewshot.base import Fit
from sports_clip_pipeline.fewshot.trial import FittedTrial, TrialKey
from sports_clip_pipeline.predictor.head import Head


def scored(
    correct: int,
    method: str = "a",
    fraction: float = 1.0,
    seed: int = 0,
    cv: float = 0.5,
    loss: float = 1.0,
) -> ScoredTrial:
    """A trial that classifies the first `correct` of four images correctly."""
    fit = Fit(Head(()), 1.0, {"c": 3.0}, cv, loss, np.empty((0, 0)))
    key = TrialKey(method, fraction, seed)
    logits = np.array([[1.0, 0.0]] * correct + [[0.0, 1.0]] * (4 - correct))
    trial = FittedTrial(key, fit, int(10 * fraction), 0.1, False)
    return score_trial(trial, logits, np.zeros(4, int), Bootstrap(100))


def test_a_trial_is_scored_on_its_predictions() -> None:
    trial = scored(3, seed=1)
    row = trial.row
    assert row["top1"] == 0.75
    assert row["top1_low"] <= 0.75 <= row["top1_high"]
    assert json.loads(row["hyperparameters"]) == {"c": 3.0}
    assert (row["seed"], row["labels"], row["reused"]) == (1, 10, False)
    probabilities = trial_probabilities([trial])["a/1/1"]
    assert probabilities.dtype == np.float16
    odds = np.e / (1 + np.e)
    np.testing.assert_allclose(probabilities[0], [odds, 1 - odds], atol=1e-3)


def test_curves_average_seeds_and_list_them() -> None:
    trials = [scored(4, seed=1), scored(2, seed=0), scored(1, fraction=0.5)]
    curves = learning_curves(trials, Bootstrap(100))
    assert curves["fraction"].tolist() == [0.5, 1.0]
    assert curves["top1_mean"].tolist() == [0.25, 0.75]
    assert curves["seeds"].tolist() == [[0], [0, 1]]
    assert curves["labels"].tolist() == [5, 10]
    assert (curves["top1_low"] <= curves["top1_mean"]).all()
    assert trials_table(trials)["seed"].tolist() == [0, 0, 1]


def test_the_best_trials_are_chosen_by_cross_validation_alone() -> None:
    best, other = scored(1, method="best", cv=0.8), scored(4, method="other", cv=0.7)
    fewer = scored(4, method="fewer labels", fraction=0.5, cv=0.99)
    assert best_trials([other, fewer, best]) == {0.5: fewer.fitted, 1.0: best.fitted}
    lower_loss = scored(2, method="b", cv=0.8, loss=0.3)
    assert best_trials([scored(2, cv=0.8, loss=0.4), lower_loss]) == {1.0: lower_loss.fitted}


def test_methods_are_compared_by_their_mean_over_seeds_and_the_first_seed_is_taken() -> None:
    a = [scored(2, method="a", seed=0, cv=0.9), scored(2, method="a", seed=1, cv=0.5)]
    b = [scored(2, method="b", seed=1, cv=0.8), scored(2, method="b", seed=0, cv=0.8)]
    assert best_trials([*a, *b]) == {1.0: b[1].fitted}


DOUBLING = np.array([100.0, 200.0, 400.0, 800.0, 1600.0])


def test_power_laws_are_recovered_row_by_row() -> None:
    rate, floor = fit_power_law(DOUBLING, np.stack([2.0 * DOUBLING**-0.4, DOUBLING**-0.2]))
    assert floor == pytest.approx([0.0, 0.0], abs=1e-12)
    assert rate == pytest.approx([0.4, 0.2])


def test_a_floor_is_found_to_within_the_grid_and_is_zero_for_three_points() -> None:
    errors = (3.0 * DOUBLING**-0.6 + 0.05)[None, :]
    rate, floor = fit_power_law(DOUBLING, errors)
    assert floor == pytest.approx([0.05], abs=0.002)
    assert rate == pytest.approx([0.6], abs=0.02)
    assert np.isinf(labels_at(DOUBLING, 1 - errors, 0.955))
    assert labels_at(DOUBLING, 1 - errors, 0.92) == pytest.approx(0.01 ** (-1 / 0.6), rel=0.2)
    assert fit_power_law(DOUBLING[:3], errors[:, :3])[1] == [0.0]


LABELS = np.array([100.0, 1000.0, 10_000.0])
FRACTIONS = (0.01, 0.1, 1.0)
IMAGES = 1000
TARGET = np.zeros(IMAGES, dtype=np.int64)


def predictions(correct: int) -> np.ndarray:
    """(N, 2) float16; the first `correct` images are classified correctly."""
    share = (np.arange(IMAGES) < correct).astype(np.float16)
    return np.stack([share, 1 - share], axis=1)


def study(**methods: tuple[float, ...]) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Curves of three points with two equal seeds each."""
    rows, probabilities = [], {}
    for method, curve in methods.items():
        for fraction, labels, top1 in zip(FRACTIONS, LABELS, curve, strict=True):
            rows.append((method, fraction, int(labels), top1))
            for seed in (0, 1):
                name = TrialKey(method, fraction, seed).name
                probabilities[name] = predictions(round(top1 * IMAGES))
    columns = ["method", "fraction", "labels", "top1_mean"]
    return pd.DataFrame(rows, columns=columns), probabilities


@pytest.mark.parametrize(
    ("target", "labels"),
    [(0.7, 100 * 10**0.5), (0.85, 1000 * 10**0.5), (0.8, 1000), (0.9, 10_000), (0.5, 100)],
)
def test_labels_are_interpolated_on_a_logarithmic_scale(target: float, labels: float) -> None:
    assert labels_at(LABELS, np.array([[0.6, 0.8, 0.9]]), target) == pytest.approx([labels])


def test_curves_are_extrapolated_by_a_power_law_up_to_a_hundred_times_the_labels() -> None:
    curve = 1.0 - 2.0 * LABELS[None, :] ** -0.3
    assert labels_at(LABELS, curve, 0.9) == pytest.approx([20 ** (1 / 0.3)])
    assert np.isinf(labels_at(LABELS, curve, 0.999))
    assert np.isinf(labels_at(LABELS[:2], curve[:, :2], 0.9))
    flat_or_falling = 1 - np.stack([np.full(5, 0.3), np.linspace(0.2, 0.3, 5)])
    assert np.isinf(labels_at(DOUBLING, flat_or_falling, 0.95)).all()


def test_an_extrapolation_continues_from_the_last_point() -> None:
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
    curves, probabilities = study(a=(0.6, 0.8, 0.9), b=(0.5, 0.5, 0.5))
    table = labels_needed(curves, probabilities, TARGET, (0.95, 0.5, 0.7, 0.99), Bootstrap(200))
    assert list(table.columns) == ["method", "target", "labels", "low", "high", "kind"]
    assert table["method"].tolist() == ["a"] * 4 + ["b"] * 4
    assert table["target"].tolist() == [0.5, 0.7, 0.95, 0.99] * 2
    kinds = ["measured below", "interpolated", "extrapolated", "out of reach"]
    assert table["kind"].tolist() == [*kinds, "measured below", *["out of reach"] * 3]
    assert table["labels"][0] == 100
    assert table["labels"][1] == np.ceil(100 * 10**0.5)
    assert table["labels"][2] == pytest.approx(100_000)  # each decade halves the error
    assert np.isinf(table["labels"][3])  # 3.3 decades
    assert np.isinf(table["labels"][5:]).all()
    assert ((table["low"] <= table["labels"]) & (table["labels"] <= table["high"])).all()


def test_the_interval_is_that_of_the_labels() -> None:
    """With 1,000 images ±2.8 points on a slope of 20 points a decade is 0.14 decades."""
    row = labels_needed(*study(a=(0.6, 0.8, 0.9)), TARGET, [0.7], Bootstrap(2000)).iloc[0]
    half = 1.96 * np.sqrt(0.7 * 0.3 / IMAGES) / 0.2
    assert np.log10(row["labels"] / row["low"]) == pytest.approx(half, rel=0.2)
    assert np.log10(row["high"] / row["labels"]) == pytest.approx(half, rel=0.2)


def test_a_flat_end_leaves_the_upper_bound_open() -> None:
    row = labels_needed(*study(a=(0.8, 0.805, 0.81)), TARGET, [0.81], Bootstrap(500)).iloc[0]
    assert row["kind"] == "interpolated"
    assert np.isinf(row["high"])
    assert row["low"] < 10_000


def test_bad_accuracies_and_missing_trials_are_named() -> None:
    curves, probabilities = study(a=(0.6, 0.8, 0.9))
    with pytest.raises(ValueError, match=r"in \(0, 1\], got 60"):
        labels_needed(curves, probabilities, TARGET, [60], Bootstrap())
    del probabilities["a/0.1/0"], probabilities["a/0.1/1"]
    with pytest.raises(ValueError, match=r"no trial of a at fraction 0\.1"):
        labels_needed(curves, probabilities, TARGET, [0.7], Bootstrap())
