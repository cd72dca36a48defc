import numpy as np
import pytest
from scipy.optimize import approx_fprime
from scipy.special import log_softmax, softmax
from sklearn.linear_model import LogisticRegressionCV

from sports_clip_pipeline.fewshot.base import Labelled, Task
from sports_clip_pipeline.fewshot.cross_validation import assign_folds, fit_temperature, log_loss
from sports_clip_pipeline.fewshot.linear import (
    LogisticRegression,
    LpPlusPlus,
    NearestMean,
    Ridge,
    TextInitLogisticRegression,
    clap_objective,
    clap_penalty,
    class_means,
    solve_clap,
    solve_ridge,
)
from sports_clip_pipeline.fewshot.subspace import principal_axes
from sports_clip_pipeline.predictor.head import Head
from tests.fewshot.factories import labelled, pretrained, task, toy, unit

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("count", [90, 360])
def test_logistic_regression_does_not_lose_to_scikit_learns_on_the_same_rows(count: int) -> None:
    rng = np.random.default_rng(count)
    target = np.arange(count + 2000) % 6
    noise = np.arange(1.0, 61.0) ** -0.5 * rng.normal(size=(len(target), 60))
    features = np.abs(rng.normal(size=(6, 60))[target] * 0.2 + noise).astype(np.float32)
    fold = assign_folds(target[:count], np.arange(count), 5, seed=0)
    given = Labelled(features[:count], target[:count], fold, 6)
    ours = LogisticRegression().fit(Task(given, pretrained(6)))
    columns, held_out = unit(features), np.unique(fold)
    folds = [(np.flatnonzero(fold != one), np.flatnonzero(fold == one)) for one in held_out]
    theirs = LogisticRegressionCV(
        Cs=LogisticRegression().c, cv=folds, scoring="neg_log_loss", max_iter=2000,
        l1_ratios=(0.0,), use_legacy_attributes=False,
    ).fit(columns[:count], target[:count])  # fmt: skip
    new, truth = slice(count, None), target[count:]
    logits, probabilities = ours.head(features[new]), theirs.predict_log_proba(columns[new])
    right = (logits.argmax(axis=1) == truth).mean()
    assert right >= (probabilities.argmax(axis=1) == truth).mean() - 0.005 > 0.5
    assert log_loss(logits / ours.temperature, truth) <= log_loss(probabilities, truth) + 0.01


@pytest.mark.parametrize("count", [8, 40])
def test_ridge_is_least_squares_with_the_penalty_as_further_rows(count: int) -> None:
    """√α I under the rows, zeros under the targets; the bias column goes unpenalised."""
    features = RNG.normal(size=(count, 12)).astype(np.float32)
    target = np.arange(count) % 3
    heads = solve_ridge(Labelled(features, target, target, 3), (0.1, 2.0))
    for alpha in (0.1, 2.0):
        penalty = np.hstack([np.sqrt(alpha) * np.eye(12), np.zeros((12, 1))])
        design = np.vstack([np.hstack([features, np.ones((count, 1))]), penalty])
        twin = np.linalg.lstsq(design, np.vstack([np.eye(3)[target], np.zeros((12, 3))]))[0]
        predicted = features @ twin[:12] + twin[12]
        np.testing.assert_allclose(heads[(alpha,)](features), predicted, atol=1e-4)


def test_ridge_in_the_span_of_few_rows_is_ridge_in_all_columns() -> None:
    given = task(labelled(9, 3), "ridge")
    fit, rows = Ridge().fit(given), given.labelled
    scale = Head(given.pretrained.scaled(root=True))
    setting = (fit.hyperparameters["alpha"],)
    wide = Labelled(scale(rows.features), rows.target, rows.fold, 3)
    new = toy(20, 3, seed=5)[0]
    np.testing.assert_allclose(
        fit.head(new), solve_ridge(wide, setting)[setting](scale(new)), atol=1e-4
    )


def test_an_infinite_ridge_penalty_leaves_the_shares_of_the_classes() -> None:
    features = RNG.normal(size=(10, 4)).astype(np.float32)
    rows = Labelled(features, np.array([0] * 7 + [1] * 3), np.zeros(10), 2)
    logits = solve_ridge(rows, (1e9,))[(1e9,)](features)
    np.testing.assert_allclose(logits, np.tile([0.7, 0.3], (10, 1)), atol=1e-4)


def test_text_initialised_regression_with_hardly_a_label_is_zero_shot() -> None:
    given = task(labelled(30, 3), "logreg_clip_text_init")
    head = TextInitLogisticRegression(c=(1e-6,)).fit(given).head
    features = given.labelled.features
    np.testing.assert_allclose(
        head(features), given.pretrained.zero_shot_head()(features), atol=0.05
    )


def test_nearest_mean_logits_are_cosines_to_the_means_of_unit_norm_rows() -> None:
    rows = labelled(30, 3)
    head = NearestMean().fit(task(rows, "logreg")).head
    root = unit(np.sqrt(rows.features))
    means = unit(np.stack([root[rows.target == label].mean(axis=0) for label in range(3)]))
    np.testing.assert_allclose(head(rows.features), root @ means.T, atol=1e-5)


def test_a_class_without_rows_has_a_mean_of_zeros() -> None:
    rows = labelled(9, 3)
    means = class_means(rows.where(rows.target != 1))
    assert not means[1].any()
    np.testing.assert_allclose(means[2], rows.features[rows.target == 2].mean(axis=0), rtol=1e-5)


TARGET = RNG.integers(0, 3, 60)
COLUMNS = (RNG.normal(size=(60, 5)) + np.eye(3, 5)[TARGET]).astype(np.float32)
TEXT = (RNG.normal(size=(60, 3)) + np.eye(3)[TARGET]).astype(np.float32)


def lp_plus_plus(c: float, prior_strength: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weight (3, 5), bias (3,), multipliers (3,)."""
    joint = Labelled(np.hstack([COLUMNS, TEXT]), TARGET, TARGET, 3)
    _, energy = principal_axes(COLUMNS)
    (head,) = LpPlusPlus(prior_strength=prior_strength).solve(joint, (c,), energy).values()
    arrays = head.operations[0].arrays
    multiplier = arrays["weight"][:, 5:]
    np.testing.assert_array_equal(multiplier, np.diag(np.diag(multiplier)))
    return arrays["weight"][:, :5], arrays["bias"], np.diag(multiplier)


def test_lp_plus_plus_is_at_the_minimum_of_the_naive_objective() -> None:
    centre = 1.0 / fit_temperature(TEXT, TARGET)

    def naive(weight: np.ndarray, bias: np.ndarray, multiplier: np.ndarray) -> float:
        logits = COLUMNS @ weight.T + bias + multiplier * TEXT
        own = log_softmax(logits, axis=1)[np.arange(60), TARGET]
        prior = 0.5 * 2.0 * ((multiplier - centre) ** 2).sum()
        return float(-0.8 * own.sum() + 0.5 * (weight**2).sum() + prior)

    found = lp_plus_plus(0.8, prior_strength=2.0)
    lowest = naive(*found)
    for _ in range(30):
        assert naive(*(value + RNG.normal(0, 0.05, value.shape) for value in found)) > lowest


def test_lp_plus_plus_without_a_probe_is_calibrated_zero_shot() -> None:
    weight, bias, multiplier = lp_plus_plus(1e-4, prior_strength=1e6)
    np.testing.assert_allclose(multiplier, 1.0 / fit_temperature(TEXT, TARGET), rtol=1e-3)
    np.testing.assert_allclose(weight, 0.0, atol=2e-2)
    assert np.ptp(bias) < 0.5


def test_the_lp_plus_plus_head_adds_a_probe_and_multiplied_zero_shot_logits() -> None:
    given = task(labelled(40, 3))
    found, features = LpPlusPlus(c=(30.0,)).fit(given), given.labelled.features
    probe, text = found.head.operations[0].branches
    multiplier = text.operations[-1].arrays["weight"]
    zero_shot = given.pretrained.zero_shot_head()(features)
    expected = probe(features) + zero_shot * np.diag(multiplier)
    np.testing.assert_allclose(found.head(features), expected, atol=1e-4)


CLAP_TARGET, SCALE = np.arange(24) % 3, 8.0
CLAP_TEXT = unit(RNG.normal(size=(3, 6))).astype(np.float64)
CLAP_FEATURES = unit(CLAP_TEXT[CLAP_TARGET] + RNG.normal(0, 0.6, (24, 6))).astype(np.float64)
CLAP_ROWS = Labelled(CLAP_FEATURES, CLAP_TARGET, CLAP_TARGET, 3)
PENALTY = np.array([0.2, 0.5, 0.9])


def test_the_clap_objective_is_cross_entropy_of_cosines_and_the_weighted_mean_distance() -> None:
    prototypes = RNG.normal(size=(3, 6))
    total = 0.0
    for row, label in zip(CLAP_FEATURES, CLAP_TARGET, strict=True):
        cosines = [row @ w / np.linalg.norm(w) for w in prototypes]
        total -= np.log(softmax(SCALE * np.array(cosines))[label]) / 24
    for label in range(3):
        total += PENALTY[label] * np.sum((prototypes[label] - CLAP_TEXT[label]) ** 2) / 3
    value, _ = clap_objective(prototypes, CLAP_ROWS, CLAP_TEXT, SCALE, PENALTY)
    assert value == pytest.approx(total)


def test_the_clap_gradient_agrees_with_finite_differences() -> None:
    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        return clap_objective(flat.reshape(3, 6), CLAP_ROWS, CLAP_TEXT, SCALE, PENALTY)

    start = RNG.normal(size=18)
    numeric = approx_fprime(start, lambda flat: objective(flat)[0], 1e-7)
    np.testing.assert_allclose(objective(start)[1].ravel(), numeric, atol=1e-5)


def test_the_looser_the_clap_penalty_the_further_the_prototypes_are_from_the_text() -> None:
    penalties = (1e6, 10.0, 1.0, 0.1)
    found = [solve_clap(CLAP_ROWS, CLAP_TEXT, SCALE, np.full(3, value)) for value in penalties]
    away = [np.linalg.norm(prototypes - CLAP_TEXT) for prototypes in found]
    assert away == sorted(away)
    assert away[0] < 1e-4 < away[-1]


def test_the_clap_penalty_is_the_mean_probability_of_the_true_class() -> None:
    penalty = clap_penalty(CLAP_ROWS.where(CLAP_TARGET != 1), CLAP_TEXT, SCALE)
    probabilities = softmax(SCALE * CLAP_FEATURES @ CLAP_TEXT.T, axis=1)
    own = [probabilities[label == CLAP_TARGET, label].mean() for label in (0, 2)]
    np.testing.assert_allclose(penalty, [own[0], 1.0, own[1]])
