from __future__ import annotations

import numpy as np
import pytest

from sports_clip_pipeline.predictor.head import softmax
from sports_clip_pipeline.training.mixture import (
    MixtureSettings,
    balanced,
    fit_gaussians,
    fit_mixture,
)

RNG = np.random.default_rng(0)
EVEN = np.full(3, 1 / 3)


def clusters(rows: int, seed: int = 0, apart: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    """Rows (rows, 4) around three corners, and the corner of each."""
    rng = np.random.default_rng(seed)
    target = np.arange(rows) % 3
    points = rng.normal(size=(rows, 4)) @ np.diag([1.0, 0.5, 1.0, 2.0])
    points[np.arange(rows), target] += apart
    return (points - points.mean(axis=0)).astype(np.float32), target


def rough(target: np.ndarray, right: float, seed: int = 1) -> np.ndarray:
    """Logits (N, 3) of a poor classifier that is right for a share of the rows."""
    rng = np.random.default_rng(seed)
    said = np.where(rng.random(len(target)) < right, target, rng.integers(0, 3, len(target)))
    return np.eye(3)[said] * 1.5


def test_balanced_shares_are_the_prior_and_rows_sum_to_one() -> None:
    prior = np.array([0.5, 0.3, 0.2])
    shares, _ = balanced(RNG.normal(size=(200, 3)) * 3, prior, 100)
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)
    np.testing.assert_allclose(shares.mean(axis=0), prior, atol=1e-9)


def test_the_biases_of_balancing_give_its_shares_by_a_softmax() -> None:
    logits = RNG.normal(size=(50, 3))
    shares, bias = balanced(logits, EVEN, 15)
    np.testing.assert_allclose(softmax(logits + bias), shares)
    assert abs(bias.sum()) < 1e-9


def test_balancing_two_rows_by_hand() -> None:
    # Odds of 4:1 and 1:1 for the first class; scaling the second class by f makes the shares even
    # where 4/(4 + f) + 1/(1 + f) = 1, that is at f = 2.
    shares, bias = balanced(np.log([[4.0, 1.0], [1.0, 1.0]]), np.array([0.5, 0.5]), 60)
    np.testing.assert_allclose(shares, [[2 / 3, 1 / 3], [1 / 3, 2 / 3]])
    np.testing.assert_allclose(bias[1] - bias[0], np.log(2.0))


def test_no_rounds_of_balancing_are_a_softmax() -> None:
    logits = RNG.normal(size=(10, 3))
    shares, bias = balanced(logits, EVEN, 0)
    np.testing.assert_allclose(shares, softmax(logits))
    np.testing.assert_array_equal(bias, 0.0)


def test_an_impossible_class_stays_impossible() -> None:
    logits = RNG.normal(size=(30, 3))
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
    covariance = (1 - shrinkage) * covariance + shrinkage * np.trace(covariance) / width * np.eye(
        width
    )
    inverse = np.linalg.inv(covariance)
    return np.array(
        [[-0.5 * (row - mean) @ inverse @ (row - mean) for mean in means] for row in rows]
    )


def test_the_gaussians_are_those_of_a_naive_loop() -> None:
    rows, _ = clusters(40)
    shares = RNG.random((40, 3))
    logits = fit_gaussians(rows, shares, 0.3)(rows)
    naive = naive_gaussians(rows.astype(np.float64), shares, 0.3)
    gap = logits - naive
    np.testing.assert_allclose(gap - gap[:, :1], 0.0, atol=1e-4)


def test_whole_shrinkage_leaves_distances_to_the_means() -> None:
    rows, target = clusters(30)
    means = np.stack([rows[target == c].mean(axis=0) for c in range(3)])
    nearest = ((rows[:, None] - means) ** 2).sum(axis=2).argmin(axis=1)
    logits = fit_gaussians(rows, np.eye(3)[target], 1.0)(rows)
    np.testing.assert_array_equal(logits.argmax(axis=1), nearest)


def test_one_row_a_class_is_enough() -> None:
    rows = np.random.default_rng(0).normal(size=(2, 64)).astype(np.float32)
    rows -= rows.mean(axis=0)
    logits = fit_gaussians(100.0 * rows, np.eye(2), 0.1)(100.0 * rows)
    assert np.isfinite(logits).all()
    assert list(logits.argmax(axis=1)) == [0, 1]


def test_a_class_without_rows_never_wins() -> None:
    rows, target = clusters(30)
    logits = fit_gaussians(rows, np.eye(4)[target], 0.2)(rows)
    assert np.isfinite(logits).all()
    assert (logits.argmax(axis=1) < 3).all()


@pytest.mark.parametrize("known", [False, True])
def test_one_round_of_em_is_that_of_a_naive_loop(known: bool) -> None:
    rows, target = clusters(45)
    pull = rough(target, 0.6)
    labels = np.where(np.arange(45) % 9 == 0, target, -1) if known else np.full(45, -1)
    settings = MixtureSettings(1, 0.7, 0.9, 0.2, confidence=2.0, label_weight=4.0)
    found = fit_mixture(rows, pull, EVEN, settings, labels)

    free = labels < 0
    shares = np.eye(3)[np.maximum(labels, 0)]
    shares[free] = balanced(0.9 * pull[free], EVEN, 20)[0]
    weight = np.array([max(shares[i]) ** 2 if free[i] else 4.0 for i in range(len(rows))])
    density = naive_gaussians(rows.astype(np.float64), shares * weight[:, None], 0.2)
    expected = balanced(0.7 * density[free] + 0.9 * pull[free], EVEN, 20)[0]
    np.testing.assert_allclose(found.probabilities[free], expected, atol=1e-4)
    np.testing.assert_array_equal(found.probabilities[~free], np.eye(3)[labels[~free]])


def test_em_makes_a_poor_classifier_better() -> None:
    rows, target = clusters(600)
    pull = rough(target, 0.5)
    found = fit_mixture(rows, pull, EVEN, MixtureSettings(15, 1.0))
    before, after = pull.argmax(axis=1) == target, found.probabilities.argmax(axis=1) == target
    assert before.mean() < 0.7
    assert after.mean() > 0.95

    others, truth = clusters(300, seed=9)
    said = found.logits(others, rough(truth, 0.5, seed=4)).argmax(axis=1)
    assert (said == truth).mean() > 0.93


def test_an_endless_pull_leaves_the_other_classifier_as_it_is() -> None:
    rows, _ = clusters(60)
    pull = RNG.normal(size=(60, 3))
    settings = MixtureSettings(5, 1.0, pull=1e6, balance_rounds=0)
    found = fit_mixture(rows, pull, EVEN, settings)
    np.testing.assert_array_equal(found.probabilities.argmax(axis=1), pull.argmax(axis=1))


def test_endless_weight_of_the_labels_leaves_the_gaussians_of_the_labels() -> None:
    rows, target = clusters(90)
    labels = np.where(np.arange(90) < 30, target, -1)
    settings = MixtureSettings(4, 0.5, label_weight=1e6)
    found = fit_mixture(rows, rough(target, 0.6), EVEN, settings, labels)
    supervised = fit_gaussians(rows[:30], np.eye(3)[target[:30]], 0.2)
    np.testing.assert_allclose(found.gaussians(rows), supervised(rows), rtol=1e-3, atol=1e-3)


def test_with_every_class_known_the_gaussians_are_those_of_the_labels() -> None:
    rows, target = clusters(60)
    found = fit_mixture(rows, np.zeros((60, 3)), EVEN, MixtureSettings(7, 0.3), target)
    supervised = fit_gaussians(rows, np.eye(3)[target], 0.2)
    np.testing.assert_allclose(found.gaussians(rows), supervised(rows), atol=1e-4)
    np.testing.assert_array_equal(found.bias, 0.0)


def test_the_order_of_the_rows_does_not_matter() -> None:
    rows, target = clusters(120)
    pull, order = rough(target, 0.6), RNG.permutation(120)
    one = fit_mixture(rows, pull, EVEN, MixtureSettings(5, 0.5))
    two = fit_mixture(rows[order], pull[order], EVEN, MixtureSettings(5, 0.5))
    np.testing.assert_allclose(two.probabilities, one.probabilities[order], atol=1e-4)


def test_shares_of_the_classes_follow_the_prior() -> None:
    rows, target = clusters(120)
    prior = np.array([0.2, 0.3, 0.5])
    settings = MixtureSettings(5, 0.2, balance_rounds=200)
    found = fit_mixture(rows, rough(target, 0.6), prior, settings)
    np.testing.assert_allclose(found.probabilities.mean(axis=0), prior, atol=1e-6)
