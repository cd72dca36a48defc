from typing import Any

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from sports_clip_pipeline.fewshot.base import Labelled
from sports_clip_pipeline.fewshot.discriminant import (
    Gda,
    LinearClassifier,
    balanced,
    fit_gaussians,
    fit_mixture,
    solve_gda,
    transduce,
)
from sports_clip_pipeline.fewshot.softmax_solver import NEVER
from sports_clip_pipeline.pipelines.zero_shot.config import TRANSDUCTIONS, TransductionConfig
from sports_clip_pipeline.predictor.head import Head, affine, softmax
from tests.fewshot.factories import WIDTH, labelled, pretrained, task, toy

RNG = np.random.default_rng(0)
EVEN = np.full(3, 1 / 3)
TARGET = np.repeat([0, 1, 2], [20, 12, 28])
FEATURES = (RNG.normal(size=(60, 6)) * np.arange(1, 7) + np.eye(3, 6)[TARGET]).astype(np.float32)
ROWS = Labelled(FEATURES, TARGET, np.zeros(60, int), 3)


@pytest.mark.parametrize("strength", [0.1, 1.0, 10.0])
def test_gda_is_the_textbook_formula_with_the_published_precision(strength: float) -> None:
    """P = D ((N − 1) Σ + s tr(Σ) I)⁻¹; logits μ P x − ½ μ P μ, but for a constant of each row."""
    means = np.array([FEATURES[label == TARGET].mean(axis=0) for label in (0, 1, 2)])
    sigma = sum(np.outer(x - means[c], x - means[c]) for x, c in zip(FEATURES, TARGET, strict=True))
    sigma = sigma / (60 - 1)
    precision = 6 * np.linalg.inv(59 * sigma + strength * np.trace(sigma) * np.eye(6))
    expected = [[m @ precision @ x - 0.5 * m @ precision @ m for m in means] for x in FEATURES]
    apart = solve_gda(ROWS, (strength,))[(strength,)](FEATURES) - np.array(expected)
    np.testing.assert_allclose(apart - apart[:, :1], 0.0, atol=1e-3)


def test_gda_with_equal_classes_is_scikit_learns_discriminant() -> None:
    """Σ (1 − γ) + γ tr(Σ)/D I is ∝ (N − 1) Σ + s tr(Σ) I at γ / (1 − γ) = s D / (N − 1)."""
    target, ratio = np.arange(60) % 3, 2.0 * 6 / 59
    twin = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=ratio / (1 + ratio))
    expected = twin.fit(FEATURES, target).predict_log_proba(FEATURES)
    rows = Labelled(FEATURES, target, np.zeros(60, int), 3)
    found = solve_gda(rows, (2.0,))[(2.0,)](FEATURES)
    ratios = (found[:, 1:] - found[:, :1]) / (expected[:, 1:] - expected[:, :1])
    np.testing.assert_allclose(ratios, np.median(ratios), rtol=1e-2)


def test_gda_of_two_classes_on_a_line_by_hand() -> None:
    """Means −1 and 1 of four rows: the classes' logits are equal at 0, and rise with x."""
    points = np.array([[-1.5], [-0.5], [0.5], [1.5]], np.float32)
    rows = Labelled(points, np.array([0, 0, 1, 1]), np.zeros(4), 2)
    logits = solve_gda(rows, (1.0,))[(1.0,)](np.array([[-1.0], [0.0], [1.0]], np.float32))
    # (N − 1) Σ = 4 · 0.25 = 1, tr Σ = 1/3, so P = 1 / (1 + 1/3) = 0.75 and w x = ±0.75 x.
    np.testing.assert_allclose(logits[:, 1] - logits[:, 0], [-1.5, 0.0, 1.5], atol=1e-5)


def test_gda_in_the_span_of_few_rows_is_gda_in_all_columns() -> None:
    given = task(labelled(9, 3), "gda")
    fit, rows = Gda().fit(given), given.labelled
    setting = (fit.hyperparameters["shrinkage"],)
    scale = Head(given.pretrained.scaled(root=True))
    wide = Labelled(scale(rows.features), rows.target, rows.fold, 3)
    new = toy(20, 3, seed=5)[0]
    # D is a scale of all logits: 9 columns in the span, 12 in all.
    expected = solve_gda(wide, setting)[setting](scale(new)) * 9 / 12
    np.testing.assert_allclose(
        fit.head(new), expected, rtol=1e-2, atol=1e-2 * np.abs(expected).max()
    )


def test_gda_never_predicts_a_class_without_rows() -> None:
    head = solve_gda(Labelled(FEATURES, TARGET, np.zeros(60, int), 4), (1.0,))[(1.0,)]
    assert (head(FEATURES)[:, 3] == NEVER).all()


def clusters(rows: int, seed: int = 0, apart: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    """Rows (rows, 4) around three corners, and the corner of each."""
    rng = np.random.default_rng(seed)
    target = np.arange(rows) % 3
    points = rng.normal(size=(rows, 4)) @ np.diag([1.0, 0.5, 1.0, 2.0])
    points[np.arange(rows), target] += apart
    return (points - points.mean(axis=0)).astype(np.float32), target


def rough(target: np.ndarray, accuracy: float, seed: int = 1) -> np.ndarray:
    """Logits (N, 3) of a poor classifier that is right for a share of the rows."""
    rng = np.random.default_rng(seed)
    random = rng.random(len(target)) >= accuracy
    return np.eye(3)[np.where(random, rng.integers(0, 3, len(target)), target)] * 1.5


def mixture(
    rows: np.ndarray, prior: np.ndarray, shares: np.ndarray = EVEN, **changes: Any
) -> tuple[LinearClassifier, np.ndarray]:
    settings = {"iterations": 5, "beta": 0.5, "shrinkage": 0.2} | changes
    return fit_mixture(rows, prior, shares, **settings)


def test_balanced_shares_are_the_prior_and_the_biases_give_them_by_a_softmax() -> None:
    prior, logits = np.array([0.5, 0.3, 0.2]), RNG.normal(size=(200, 3)) * 3
    shares, bias = balanced(logits, prior, 100)
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)
    np.testing.assert_allclose(shares.mean(axis=0), prior, atol=1e-9)
    np.testing.assert_allclose(softmax(logits + bias), shares)
    assert abs(bias.sum()) < 1e-9


def test_balancing_two_rows_by_hand() -> None:
    # Odds of 4:1 and 1:1 for the first class; scaling the second class by f makes the shares even
    # where 4/(4 + f) + 1/(1 + f) = 1, that is at f = 2.
    shares, bias = balanced(np.log([[4.0, 1.0], [1.0, 1.0]]), np.array([0.5, 0.5]), 60)
    np.testing.assert_allclose(shares, [[2 / 3, 1 / 3], [1 / 3, 2 / 3]])
    np.testing.assert_allclose(bias[1] - bias[0], np.log(2.0))


def test_no_rounds_of_balancing_are_a_softmax_and_an_impossible_class_stays_impossible() -> None:
    logits = RNG.normal(size=(30, 3))
    shares, bias = balanced(logits, EVEN, 0)
    np.testing.assert_allclose(shares, softmax(logits))
    np.testing.assert_array_equal(bias, 0.0)
    logits[:, 2] = -1e4
    shares, _ = balanced(logits, EVEN, 20)
    assert np.isfinite(shares).all()
    np.testing.assert_array_equal(shares[:, 2], 0.0)


def naive_gaussians(rows: np.ndarray, shares: np.ndarray, shrinkage: float) -> np.ndarray:
    """Log-densities (N, C) up to a row's constant, one row and one class at a time."""
    width, classes = rows.shape[1], shares.shape[1]
    means = [
        sum(shares[i, c] * rows[i] for i in range(len(rows))) / shares[:, c].sum()
        for c in range(classes)
    ]
    covariance = np.zeros((width, width))
    for i, row in enumerate(rows):
        for c in range(classes):
            covariance += shares[i, c] * np.outer(row - means[c], row - means[c])
    covariance /= shares.sum()
    spherical = np.trace(covariance) / width * np.eye(width)
    inverse = np.linalg.inv((1 - shrinkage) * covariance + shrinkage * spherical)
    return np.array(
        [[-0.5 * (row - mean) @ inverse @ (row - mean) for mean in means] for row in rows]
    )


def test_the_gaussians_are_those_of_a_naive_loop() -> None:
    rows, _ = clusters(40)
    shares = RNG.random((40, 3))
    gap = fit_gaussians(rows, shares, 0.3)(rows)
    gap = gap - naive_gaussians(rows.astype(np.float64), shares, 0.3)
    np.testing.assert_allclose(gap - gap[:, :1], 0.0, atol=1e-4)


def test_whole_shrinkage_leaves_distances_to_the_means() -> None:
    rows, target = clusters(30)
    means = np.stack([rows[target == c].mean(axis=0) for c in range(3)])
    nearest = ((rows[:, None] - means) ** 2).sum(axis=2).argmin(axis=1)
    logits = fit_gaussians(rows, np.eye(3)[target], 1.0)(rows)
    np.testing.assert_array_equal(logits.argmax(axis=1), nearest)


def test_gaussians_of_one_row_a_class_and_of_a_class_without_rows() -> None:
    rows = RNG.normal(size=(2, 64)).astype(np.float32)
    rows = 100.0 * (rows - rows.mean(axis=0))
    logits = fit_gaussians(rows, np.eye(2), 0.1)(rows)
    assert np.isfinite(logits).all()
    assert list(logits.argmax(axis=1)) == [0, 1]
    rows, target = clusters(30)
    logits = fit_gaussians(rows, np.eye(4)[target], 0.2)(rows)
    assert np.isfinite(logits).all()
    assert (logits.argmax(axis=1) < 3).all()


@pytest.mark.parametrize("some_labels", [False, True])
def test_one_round_of_em_is_that_of_a_naive_loop(some_labels: bool) -> None:
    rows, target = clusters(45)
    prior = 0.9 * rough(target, 0.6)
    labels = np.where(np.arange(45) % 9 == 0, target, -1) if some_labels else np.full(45, -1)
    _, found = mixture(
        rows, prior, iterations=1, beta=0.7, confidence=2.0, label_weight=4.0, target=labels
    )
    free = labels < 0
    shares = np.eye(3)[np.maximum(labels, 0)]
    shares[free] = balanced(prior[free], EVEN, 20)[0]
    weight = np.array([max(shares[i]) ** 2 if free[i] else 4.0 for i in range(len(rows))])
    density = naive_gaussians(rows.astype(np.float64), shares * weight[:, None], 0.2)
    expected = balanced(0.7 * density[free] + prior[free], EVEN, 20)[0]
    np.testing.assert_allclose(found[free], expected, atol=1e-4)
    np.testing.assert_array_equal(found[~free], np.eye(3)[labels[~free]])


def test_em_makes_a_poor_classifier_better_for_its_rows_and_for_others() -> None:
    rows, target = clusters(600)
    prior = rough(target, 0.5)
    classifier, probabilities = mixture(rows, prior, iterations=15, beta=1.0)
    assert (prior.argmax(axis=1) == target).mean() < 0.7
    assert (probabilities.argmax(axis=1) == target).mean() > 0.95
    others, truth = clusters(300, seed=9)
    predicted = classifier(others, rough(truth, 0.5, seed=4)).argmax(axis=1)
    assert (predicted == truth).mean() > 0.93


def test_labels_of_overwhelming_weight_give_the_gaussians_of_the_labels() -> None:
    rows, target = clusters(90)
    labels = np.where(np.arange(90) < 30, target, -1)
    some, _ = mixture(rows, rough(target, 0.6), label_weight=1e6, target=labels)
    supervised = fit_gaussians(rows[:30], np.eye(3)[target[:30]], 0.2)
    np.testing.assert_allclose(some.weight / 0.5, supervised.weight, rtol=1e-3, atol=1e-3)
    every, _ = mixture(rows, np.zeros((90, 3)), target=target)
    supervised = fit_gaussians(rows, np.eye(3)[target], 0.2)
    np.testing.assert_allclose(every(rows, 0.0), 0.5 * supervised(rows), atol=1e-4)


def test_shares_of_the_classes_follow_the_prior() -> None:
    rows, target = clusters(120)
    shares = np.array([0.2, 0.3, 0.5])
    _, found = mixture(rows, rough(target, 0.6), shares, beta=0.2, balance_rounds=200)
    np.testing.assert_allclose(found.mean(axis=0), shares, atol=1e-6)


CLASSES = 4
IMAGES, _ = toy(280, CLASSES)
OTHERS, TRUTH = toy(120, CLASSES, seed=5)
SCALED = pretrained(CLASSES, space="all_encoders").scaled(root=True)
METHODS = pytest.mark.parametrize("method", TRANSDUCTIONS)


def noisy_zero_shot(*bias: float) -> Head:
    """A zero-shot classifier that sees each class's direction through noise."""
    noise = np.random.default_rng(3).normal(0, 0.6, (CLASSES, WIDTH))
    return Head((affine(2 * (np.eye(CLASSES, WIDTH) + noise), np.array(bias or [0.0] * CLASSES)),))


def transduced(
    method: str, images: np.ndarray = IMAGES, zero_shot: Head | None = None, **changes: Any
) -> tuple[Head, np.ndarray]:
    config = TransductionConfig(**changes)
    return transduce(method, images, zero_shot or noisy_zero_shot(), SCALED, config)


def test_transduction_learns_from_images_without_labels() -> None:
    assert (noisy_zero_shot()(OTHERS).argmax(axis=1) == TRUTH).mean() < 0.8
    head, _ = transduced("gda_em")
    assert (head(OTHERS).argmax(axis=1) == TRUTH).mean() > 0.95


@METHODS
def test_the_head_agrees_with_the_probabilities_of_its_images_in_any_order(method: str) -> None:
    head, probabilities = transduced(method)
    assert probabilities.shape == (280, CLASSES)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, atol=1e-5)
    assert (head(IMAGES).argmax(axis=1) == probabilities.argmax(axis=1)).mean() > 0.98
    order = np.random.default_rng(0).permutation(280)
    _, shuffled = transduced(method, IMAGES[order])
    np.testing.assert_allclose(shuffled, probabilities[order], atol=2e-3)


@METHODS
def test_an_overwhelming_prior_is_zero_shot(method: str) -> None:
    zero_shot = noisy_zero_shot()
    head, probabilities = transduced(method, prior_strength=1e5, balance_rounds=0)
    np.testing.assert_array_equal(probabilities.argmax(axis=1), zero_shot(IMAGES).argmax(axis=1))
    np.testing.assert_array_equal(head(OTHERS).argmax(axis=1), zero_shot(OTHERS).argmax(axis=1))


def test_balanced_assignment_undoes_a_bias_of_the_zero_shot_classifier() -> None:
    plain, biased = (
        transduced("balanced_assignment", zero_shot=zero_shot, balance_rounds=500)[1]
        for zero_shot in (noisy_zero_shot(), noisy_zero_shot(3.0, 0.0, -1.0, 0.0))
    )
    np.testing.assert_allclose(plain.mean(axis=0), 0.25, atol=1e-4)
    np.testing.assert_allclose(biased, plain, atol=1e-4)


def test_the_head_is_as_confident_as_zero_shot() -> None:
    logits, expected = transduced("gda_em")[0](IMAGES), softmax(noisy_zero_shot()(IMAGES))

    def loss(factor: float) -> float:
        return float(-(expected * np.log(softmax(logits * factor) + 1e-300)).sum(axis=1).mean())

    assert loss(1.0) <= min(loss(0.9), loss(1.1))
