from __future__ import annotations

import numpy as np
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression
from sports_clip_pipeline.fewshot.soft_regression import fit_shares

RNG = np.random.default_rng(0)
ROWS = (RNG.normal(size=(60, 4)) * [3.0, 2.0, 1.0, 0.5]).astype(np.float32)
SHARES = RNG.dirichlet([0.5, 0.5, 0.5], 60)
WEIGHT = RNG.random(60) * 2


def loss(weight: np.ndarray, bias: np.ndarray, c: float) -> float:
    spoken = log_softmax(ROWS @ weight.T + bias, axis=1)
    return float(-c * (WEIGHT[:, None] * SHARES * spoken).sum() + 0.5 * (weight**2).sum())


def test_the_minimum_is_one_of_the_naive_objective() -> None:
    weight, bias = fit_shares(ROWS, SHARES, WEIGHT, 0.7, 200, 1e-10)
    lowest = loss(weight, bias, 0.7)
    for _ in range(30):
        away = RNG.normal(0, 0.03, (3, 5))
        assert loss(weight + away[:, :4], bias + away[:, 4], 0.7) > lowest - 1e-5


def test_whole_labels_of_weight_one_are_plain_logistic_regression() -> None:
    target = SHARES.argmax(axis=1)
    weight, bias = fit_shares(ROWS, np.eye(3)[target], np.ones(60), 2.0, 500, 1e-12)
    model = LogisticRegression(C=2.0, tol=1e-8, max_iter=1000).fit(ROWS, target)
    gap = ROWS @ weight.T + bias - model.decision_function(ROWS)
    np.testing.assert_allclose(gap - gap[:, :1], 0.0, atol=1e-2)


def test_a_weight_of_two_is_a_row_twice() -> None:
    doubled = np.ones(60)
    doubled[:10] = 2.0
    one = fit_shares(ROWS, SHARES, doubled, 1.0, 500, 1e-12)
    two = fit_shares(
        np.vstack([ROWS, ROWS[:10]]), np.vstack([SHARES, SHARES[:10]]), np.ones(70), 1.0, 500, 1e-12
    )
    np.testing.assert_allclose(one[0], two[0], atol=5e-3)
