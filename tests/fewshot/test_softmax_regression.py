from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.optimize import approx_fprime
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression

from sports_clip_pipeline.fewshot.softmax_solver import NEVER, SoftmaxProblem, SoftmaxWeights
from sports_clip_pipeline.fewshot.subspace import principal_axes

RNG = np.random.default_rng(0)
TARGET = RNG.integers(0, 3, 60)
ROWS = (RNG.normal(size=(60, 5)) + np.eye(3, 5)[TARGET]).astype(np.float32)
TEXT = (RNG.normal(size=(60, 3)) + np.eye(3)[TARGET]).astype(np.float32)


def in_axes(text: np.ndarray | None = None, pull: float = 1.0) -> tuple[SoftmaxProblem, np.ndarray]:
    axes, energy = principal_axes(ROWS)
    centred = (ROWS - ROWS.mean(axis=0)) @ axes
    return SoftmaxProblem(
        centred, TARGET, 3, text=text, multiplier_prior=0.7, prior_strength=pull, energy=energy
    ), axes


def test_the_axes_are_orthonormal_and_hold_the_rows_energy() -> None:
    axes, energy = principal_axes(ROWS)
    np.testing.assert_allclose(axes.T @ axes, np.eye(5), atol=1e-5)
    turned = (ROWS - ROWS.mean(axis=0)) @ axes
    np.testing.assert_allclose((turned**2).sum(axis=0), energy, rtol=1e-3)


def test_the_minimum_is_that_of_scikit_learn() -> None:
    problem, axes = in_axes()
    for c in (0.1, 3.0):
        twin = LogisticRegression(C=c, tol=1e-8, max_iter=5000).fit(ROWS, TARGET)
        found = problem.solve(c, 1e-9)
        np.testing.assert_allclose(found.weight @ axes.T, twin.coef_, atol=3e-3)
        bias = found.bias - found.weight @ axes.T @ ROWS.mean(axis=0)
        apart = bias - twin.intercept_
        np.testing.assert_allclose(apart - apart.mean(), 0.0, atol=3e-3)


def test_the_gradient_agrees_with_finite_differences() -> None:
    problem, _ = in_axes(TEXT, pull=2.0)
    problem = replace(problem, rows=problem.rows.astype(np.float64), text=TEXT.astype(np.float64))

    def split(flat: np.ndarray) -> SoftmaxWeights:
        values = flat.reshape(3, 7)
        return SoftmaxWeights(values[:, :5], values[:, 5], values[:, 6])

    start = RNG.normal(size=21)
    _, gradient = problem.objective(split(start), 0.4)
    flat = np.column_stack([gradient.weight, gradient.bias, gradient.multiplier]).ravel()
    numeric = approx_fprime(start, lambda x: problem.objective(split(x), 0.4)[0], 1e-6)
    np.testing.assert_allclose(flat, numeric, rtol=1e-3, atol=1e-3)


def test_a_strong_pull_keeps_the_multipliers_and_a_weak_one_lets_them_go() -> None:
    held = in_axes(TEXT, pull=1e6)[0].solve(10.0, 1e-8)
    np.testing.assert_allclose(held.multiplier, 0.7, atol=1e-2)
    free = in_axes(TEXT, pull=1e-3)[0].solve(10.0, 1e-8)
    assert np.abs(free.multiplier - 0.7).max() > 0.1


def test_where_it_starts_makes_no_difference_to_where_it_ends() -> None:
    problem, _ = in_axes(TEXT)
    cold = problem.solve(3.0, 1e-9)
    warm = problem.solve(3.0, 1e-9, start=problem.solve(0.03, 1e-4))
    np.testing.assert_allclose(warm.weight, cold.weight, atol=5e-3)
    np.testing.assert_allclose(warm.multiplier, cold.multiplier, atol=5e-3)


def test_a_class_without_rows_never_wins() -> None:
    axes, energy = principal_axes(ROWS)
    found = SoftmaxProblem((ROWS - ROWS.mean(axis=0)) @ axes, TARGET, 4, energy=energy).solve(
        1.0, 1e-4
    )
    assert found.bias[3] == NEVER
    assert not found.weight[3].any()


def test_a_row_weight_of_two_is_a_row_twice() -> None:
    weight = np.ones(60, np.float32)
    weight[:10] = 2.0
    one = SoftmaxProblem(ROWS, TARGET, 3, weight).solve(1.0, 1e-10)
    twice = SoftmaxProblem(np.vstack([ROWS, ROWS[:10]]), np.r_[TARGET, TARGET[:10]], 3)
    np.testing.assert_allclose(one.weight, twice.solve(1.0, 1e-10).weight, atol=5e-3)


PRIOR = RNG.normal(size=(3, 5)).astype(np.float32)


def with_prior(c: float, start: SoftmaxWeights | None = None) -> np.ndarray:
    problem = SoftmaxProblem(ROWS, TARGET, 3, prior=PRIOR, intercept=False)
    found = problem.solve(c, 1e-9, start)
    np.testing.assert_array_equal(found.bias, 0.0)
    return found.weight


def test_without_weight_on_the_labels_the_classifier_is_the_prior_mean() -> None:
    np.testing.assert_allclose(with_prior(1e-9), PRIOR, atol=1e-6)
    away = [np.linalg.norm(with_prior(c) - PRIOR) for c in (0.001, 0.01, 0.1, 1.0)]
    assert away == sorted(away)


def test_the_minimum_with_a_prior_is_one_of_the_naive_objective_from_any_start() -> None:
    def naive(weight: np.ndarray) -> float:
        own = log_softmax(ROWS @ weight.T, axis=1)[np.arange(60), TARGET]
        return float(-0.5 * own.sum() + 0.5 * ((weight - PRIOR) ** 2).sum())

    found = with_prior(0.5)
    for _ in range(20):
        assert naive(found + RNG.normal(0, 0.05, PRIOR.shape)) > naive(found)
    far = with_prior(0.5, SoftmaxWeights(PRIOR + 3.0, np.zeros(3), np.zeros(3)))
    np.testing.assert_allclose(far, found, atol=2e-2)
