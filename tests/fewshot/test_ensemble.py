from dataclasses import replace

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression

from sports_clip_pipeline.fewshot.base import Labelled, Task
from sports_clip_pipeline.fewshot.cross_validation import fit_temperature, log_loss
from sports_clip_pipeline.fewshot.discriminant import Gda, solve_gda
from sports_clip_pipeline.fewshot.ensemble import (
    GdaBlend,
    LogregBlend,
    RidgeBlend,
    StackedEnsemble,
    blend_with_zero_shot,
    cross_fit,
    fit_weights,
)
from sports_clip_pipeline.fewshot.linear import Ridge, solve_ridge
from sports_clip_pipeline.predictor.head import Head, affine
from tests.fewshot.factories import labelled, pretrained, task

RNG = np.random.default_rng(0)
TARGET = RNG.integers(0, 3, 400)
GOOD = 2.0 * np.eye(3)[TARGET] + RNG.normal(size=(400, 3))
NOISE = RNG.normal(size=(400, 3))


def test_one_classifier_gets_the_inverse_of_its_temperature() -> None:
    (weight,) = fit_weights([GOOD], TARGET)
    assert weight == pytest.approx(1.0 / fit_temperature(GOOD, TARGET), rel=1e-3)


def test_the_weights_of_a_product_of_known_experts_are_found() -> None:
    """Labels drawn from softmax(2 a + ½ b) are best predicted by just those weights."""
    one, two = RNG.normal(size=(2, 40_000, 3))
    probabilities = softmax(2.0 * one + 0.5 * two, axis=1)
    target = (probabilities.cumsum(axis=1) > RNG.random((40_000, 1))).argmax(axis=1)
    np.testing.assert_allclose(fit_weights([one, two], target), [2.0, 0.5], atol=0.05)


def test_no_pair_of_weights_on_a_grid_is_better() -> None:
    weights = fit_weights([GOOD, NOISE], TARGET)
    found = log_loss(weights[0] * GOOD + weights[1] * NOISE, TARGET)
    grid = np.linspace(0.0, 4.0, 41)
    assert found <= min(log_loss(a * GOOD + b * NOISE, TARGET) for a in grid for b in grid) + 1e-6


def test_a_classifier_that_is_wrong_gets_no_weight_rather_than_a_negative_one() -> None:
    weights = fit_weights([GOOD, NOISE - np.eye(3)[TARGET]], TARGET)
    assert weights[0] > 0.5
    assert weights[1] == 0.0


def test_the_candidate_that_helps_zero_shot_most_is_refitted_and_blended() -> None:
    features = np.hstack([GOOD, NOISE]).astype(np.float32)
    probe, zero_shot = (Head((affine(w),)) for w in (np.eye(3, 6), np.eye(3, 6, 3)))
    given = Task(
        Labelled(features, TARGET, np.zeros(400, int), 3),
        replace(pretrained(3), zero_shot=zero_shot),
    )
    held_out = GOOD.copy()
    held_out[:7] = np.nan
    candidates = {("noise",): RNG.normal(size=(400, 3)), ("good",): held_out}
    fit = blend_with_zero_shot(given, candidates, ("name",), {("good",): probe}.__getitem__)
    a, b = fit.hyperparameters["probe_weight"], fit.hyperparameters["zero_shot_weight"]
    assert fit.hyperparameters["name"] == "good"
    np.testing.assert_allclose(fit.head(features), a * GOOD + b * NOISE, atol=1e-4)
    assert fit.temperature == 1.0
    assert np.isnan(fit.held_out[:7]).all()
    mixed, _ = cross_fit((held_out, NOISE), TARGET, given.labelled.fold)
    np.testing.assert_allclose(fit.held_out[7:], softmax(mixed[7:], axis=1), atol=1e-4)
    assert fit.cv_log_loss == pytest.approx(log_loss(mixed[7:], TARGET[7:]), rel=1e-5)


@pytest.mark.parametrize("folds", [1, 4])
def test_the_labels_of_a_fold_have_no_part_in_the_weights_that_its_score_is_made_with(
    folds: int,
) -> None:
    fold = np.arange(400) % folds
    part = fold if folds > 1 else np.arange(400) % 5
    mixed, weights = cross_fit((GOOD, NOISE), TARGET, fold)
    changed = np.where(part == 2, (TARGET + 1) % 3, TARGET)
    again, others = cross_fit((GOOD, NOISE), changed, fold)
    np.testing.assert_array_equal(mixed[part == 2], again[part == 2])
    assert not np.array_equal(mixed[part == 1], again[part == 1])
    assert all(np.array_equal(weights[k], others[k]) == (k == 2) for k in weights)
    rest = part != 0
    expected = fit_weights([GOOD[rest], NOISE[rest]], TARGET[rest])
    np.testing.assert_allclose(weights[0], expected)
    np.testing.assert_allclose(mixed[~rest], expected[0] * GOOD[~rest] + expected[1] * NOISE[~rest])


def test_useless_classifiers_do_not_improve_the_score_of_an_ensemble() -> None:
    """Fitted on the rows that they are scored on, 20 weights of noise would seem to help."""
    rng, losses = np.random.default_rng(1), []
    for _ in range(20):
        target, fold = rng.integers(0, 3, 40), np.arange(40) % 5
        noise = rng.normal(size=(20, 40, 3))
        fitted = np.tensordot(fit_weights(noise, target), noise, axes=1)
        losses.append(
            (log_loss(fitted, target), log_loss(cross_fit(noise, target, fold)[0], target))
        )
    same_rows, cross_fitted = np.mean(losses, axis=0)
    assert same_rows < np.log(3) - 0.1 < np.log(3) < cross_fitted


@pytest.mark.parametrize(("blended", "plain"), [(GdaBlend, Gda), (RidgeBlend, Ridge)])
def test_a_blend_is_the_weighted_probe_and_zero_shot(blended: type, plain: type) -> None:
    given, features = task(labelled(60, 3)), labelled(60, 3).features
    found, alone = blended().fit(given), plain().fit(given)
    probe, text = found.head.operations[0].branches
    zero_shot = found.hyperparameters["zero_shot_weight"] * given.pretrained.zero_shot_head()(
        features
    )
    np.testing.assert_allclose(text(features), zero_shot, atol=1e-4)
    ((name, value),) = alone.hyperparameters.items()
    if found.hyperparameters[name] == value:
        expected = found.hyperparameters["probe_weight"] * alone.head(features)
        np.testing.assert_allclose(probe(features), expected, rtol=1e-3, atol=1e-3)


def test_logistic_regression_in_a_blend_is_scikit_learns_on_rooted_rows() -> None:
    given = task(labelled(90, 3, shuffle=True))
    features, chosen = given.labelled.features, LogregBlend(c=(3.0,)).fit(given)
    columns = Head(given.pretrained.scaled(root=True))(features)
    twin = LogisticRegression(C=3.0, tol=1e-8, max_iter=5000).fit(columns, given.labelled.target)
    weights = chosen.hyperparameters
    expected = weights["probe_weight"] * twin.decision_function(columns)
    expected += weights["zero_shot_weight"] * given.pretrained.zero_shot_head()(features)
    apart = chosen.head(features) - expected
    np.testing.assert_allclose(apart, np.tile(apart[:, :1], 3), atol=5e-3)


def test_the_stacked_logits_are_the_weighted_sum_of_the_components() -> None:
    given = task(labelled(60, 3, shuffle=True))
    rows, found = given.labelled, StackedEnsemble().fit(given)
    chosen, columns = found.hyperparameters, Head(given.pretrained.scaled(root=True))(rows.features)
    whole = Labelled(columns, rows.target, rows.fold, 3)
    logits = found.head.operations[0].branches[0](rows.features)  # logistic regression
    for solve, name, value in ((solve_ridge, "ridge", "alpha"), (solve_gda, "gda", "shrinkage")):
        setting = (chosen[f"{name}_{value}"],)
        logits = logits + chosen[f"{name}_weight"] * solve(whole, setting)[setting](columns)
    logits = logits + chosen["zero_shot_weight"] * given.pretrained.zero_shot_head()(rows.features)
    np.testing.assert_allclose(found.head(rows.features), logits, rtol=1e-3, atol=1e-3)


def test_the_stacked_ensemble_predicts_held_out_rows_no_worse_than_each_blend() -> None:
    rows = labelled(60, 3)
    given = task(Labelled(rows.features**4, rows.target, rows.fold, 3))
    given = type(given)(given.labelled, pretrained(3, seed=4))
    stacked = StackedEnsemble().fit(given).cv_log_loss
    for blend in (GdaBlend, LogregBlend, RidgeBlend):
        assert stacked <= blend().fit(given).cv_log_loss + 1e-4
