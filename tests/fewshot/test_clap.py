from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from scipy.special import softmax

from sports_clip_pipeline.fewshot.base import Labelled
from sports_clip_pipeline.fewshot.linear import clap_objective, clap_penalty, solve_clap

RNG = np.random.default_rng(0)


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


TARGET = np.arange(24) % 3
TEXT = unit(RNG.normal(size=(3, 6)))
ROWS = Labelled(unit(TEXT[TARGET] + RNG.normal(0, 0.6, (24, 6))), TARGET, TARGET, 3)
SCALE = 8.0


def test_the_value_is_cross_entropy_of_cosines_and_the_weighted_mean_distance() -> None:
    prototypes = RNG.normal(size=(3, 6))
    penalty = np.array([0.2, 0.5, 0.9])
    total = 0.0
    for row, label in zip(ROWS.features, TARGET, strict=True):
        cosines = [row @ w / np.linalg.norm(w) for w in prototypes]
        total -= np.log(softmax(SCALE * np.array(cosines))[label]) / 24
    for label in range(3):
        total += penalty[label] * np.sum((prototypes[label] - TEXT[label]) ** 2) / 3
    assert clap_objective(prototypes, ROWS, TEXT, SCALE, penalty)[0] == pytest.approx(total)


def test_the_gradient_agrees_with_finite_differences() -> None:
    penalty = np.array([0.2, 0.5, 0.9])
    start = RNG.normal(size=18)

    def value(flat: np.ndarray) -> float:
        return clap_objective(flat.reshape(3, 6), ROWS, TEXT, SCALE, penalty)[0]

    gradient = clap_objective(start.reshape(3, 6), ROWS, TEXT, SCALE, penalty)[1]
    np.testing.assert_allclose(gradient, approx_fprime(start, value, 1e-7), atol=1e-5)


def test_an_unbending_penalty_leaves_the_zero_shot_classifier() -> None:
    np.testing.assert_allclose(solve_clap(ROWS, TEXT, SCALE, np.full(3, 1e6)), TEXT, atol=1e-4)


def test_the_looser_the_penalty_the_further_the_prototypes_go() -> None:
    away = [
        np.linalg.norm(solve_clap(ROWS, TEXT, SCALE, np.full(3, penalty)) - TEXT)
        for penalty in (10.0, 1.0, 0.1)
    ]
    assert away == sorted(away)
    assert away[-1] > away[0]


def test_trust_is_the_mean_probability_of_the_true_class_and_full_where_nothing_is_known() -> None:
    trust = clap_penalty(ROWS.where(TARGET != 1), TEXT, SCALE)
    chances = softmax(SCALE * ROWS.features @ TEXT.T, axis=1)
    assert trust[0] == pytest.approx(chances[TARGET == 0, 0].mean())
    assert trust[1] == 1.0
    assert trust[2] == pytest.approx(chances[TARGET == 2, 2].mean())
