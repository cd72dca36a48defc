from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression

from sports_clip_pipeline.fewshot.softmax_solver import NEVER, SoftmaxProblem, SoftmaxWeights

RNG = np.random.default_rng(0)
TARGET = RNG.integers(0, 3, 60)
ROWS = (RNG.normal(size=(60, 5)) + np.eye(3, 5)[TARGET]).astype(np.float32)
TEXT = (RNG.normal(size=(60, 3)) + np.eye(3)[TARGET]).astype(np.float32)
PRIOR = RNG.normal(size=(3, 5)).astype(np.float32)
WITH_PRIOR = SoftmaxProblem(ROWS, TARGET, 3, prior=PRIOR, intercept=False)


def with_text(prior_strength: float = 1.0) -> SoftmaxProblem:
    return SoftmaxProblem(
        ROWS, TARGET, 3, text=TEXT, multiplier_prior=0.7, prior_strength=prior_strength
    )


@pytest.mark.parametrize("c", [0.1, 3.0])
def test_the_minimum_is_that_of_scikit_learn(c: float) -> None:
    twin = LogisticRegression(C=c, tol=1e-8, max_iter=5000).fit(ROWS, TARGET)
    found = SoftmaxProblem(ROWS, TARGET, 3).solve(c, 1e-9)
    np.testing.assert_allclose(found.weight, twin.coef_, atol=3e-3)
    apart = found.bias - twin.intercept_
    np.testing.assert_allclose(apart - apart.mean(), 0.0, atol=3e-3)


def test_the_gradient_agrees_with_finite_differences() -> None:
    weight = RNG.random(60) * 2
    problem = replace(
        with_text(2.0), rows=ROWS.astype(np.float64), text=TEXT.astype(np.float64),
        row_weight=weight, prior=PRIOR.astype(np.float64),
    )  # fmt: skip
    start = RNG.normal(size=(3, 7))
    gradient = problem.objective(start, 0.4)[1].ravel()
    numeric = approx_fprime(
        start.ravel(), lambda x: problem.objective(x.reshape(3, 7), 0.4)[0], 1e-6
    )
    np.testing.assert_allclose(gradient, numeric, rtol=1e-3, atol=1e-3)


def test_a_strong_prior_holds_the_multipliers_and_a_weak_one_lets_them_go() -> None:
    held = with_text(1e6).solve(10.0, 1e-8)
    np.testing.assert_allclose(held.multiplier, 0.7, atol=1e-2)
    free = with_text(1e-3).solve(10.0, 1e-8)
    assert np.abs(free.multiplier - 0.7).max() > 0.1


def test_the_minimum_does_not_depend_on_the_start() -> None:
    (_, near), (_, warm) = with_text().path((3.0, 0.03), 1e-9)
    cold = with_text().solve(3.0, 1e-9)
    np.testing.assert_allclose(warm.weight, cold.weight, atol=5e-3)
    np.testing.assert_allclose(warm.multiplier, cold.multiplier, atol=5e-3)
    assert not np.allclose(near.weight, cold.weight, atol=5e-3)


def test_a_class_without_rows_is_never_predicted() -> None:
    found = SoftmaxProblem(ROWS, TARGET, 4).solve(1.0, 1e-4)
    assert found.bias[3] == NEVER
    assert not found.weight[3].any()


def test_a_row_weight_of_two_is_a_row_twice() -> None:
    weight = np.ones(60, np.float32)
    weight[:10] = 2.0
    one = SoftmaxProblem(ROWS, TARGET, 3, weight).solve(1.0, 1e-10)
    twice = SoftmaxProblem(np.vstack([ROWS, ROWS[:10]]), np.r_[TARGET, TARGET[:10]], 3)
    np.testing.assert_allclose(one.weight, twice.solve(1.0, 1e-10).weight, atol=5e-3)


def test_the_stronger_the_prior_the_nearer_is_the_classifier_to_its_mean() -> None:
    found = [WITH_PRIOR.solve(c, 1e-9) for c in (1e-9, 0.001, 0.01, 0.1, 1.0)]
    np.testing.assert_allclose(found[0].weight, PRIOR, atol=1e-6)
    np.testing.assert_array_equal(found[-1].bias, 0.0)
    away = [np.linalg.norm(one.weight - PRIOR) for one in found]
    assert away == sorted(away)


def test_the_minimum_with_a_prior_is_one_of_the_naive_objective_from_any_start() -> None:
    def naive(weight: np.ndarray) -> float:
        own = log_softmax(ROWS @ weight.T, axis=1)[np.arange(60), TARGET]
        return float(-0.5 * own.sum() + 0.5 * ((weight - PRIOR) ** 2).sum())

    found = WITH_PRIOR.solve(0.5, 1e-9).weight
    for _ in range(20):
        assert naive(found + RNG.normal(0, 0.05, PRIOR.shape)) > naive(found)
    far = SoftmaxWeights(PRIOR + 3.0, np.zeros(3), np.zeros(3))
    np.testing.assert_allclose(WITH_PRIOR.solve(0.5, 1e-9, far).weight, found, atol=2e-2)
