from __future__ import annotations

import numpy as np
from scipy.optimize import approx_fprime
from sklearn.linear_model import LogisticRegression
from sports_clip_pipeline.fewshot.softmax_regression import (
    NEVER,
    Problem,
    Solution,
    principal_axes,
)

RNG = np.random.default_rng(0)
TARGET = RNG.integers(0, 3, 60)
ROWS = (RNG.normal(size=(60, 5)) + np.eye(3, 5)[TARGET]).astype(np.float32)
TEXT = (RNG.normal(size=(60, 3)) + np.eye(3)[TARGET]).astype(np.float32)


def in_axes(text: np.ndarray | None = None, pull: float = 1.0) -> tuple[Problem, np.ndarray]:
    axes, energy = principal_axes(ROWS)
    centred = (ROWS - ROWS.mean(axis=0)) @ axes
    return Problem(centred, TARGET, 3, energy, text, centre=0.7, pull=pull), axes


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
    problem = Problem(
        problem.rows.astype(np.float64),
        TARGET,
        3,
        problem.energy,
        TEXT.astype(np.float64),
        0.7,
        2.0,
    )

    def split(flat: np.ndarray) -> Solution:
        values = flat.reshape(3, 7)
        return Solution(values[:, :5], values[:, 5], values[:, 6])

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
    found = Problem((ROWS - ROWS.mean(axis=0)) @ axes, TARGET, 4, energy).solve(1.0, 1e-4)
    assert found.bias[3] == NEVER
    assert not found.weight[3].any()
