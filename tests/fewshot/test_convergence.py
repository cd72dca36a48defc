"""Every iterative fit is at its minimum: within 1e-4 of what float64 L-BFGS finds without end."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize

from sports_clip_pipeline.clip.projections import Pretrained
from sports_clip_pipeline.fewshot.adapters import ProjectionProblem
from sports_clip_pipeline.fewshot.base import Labelled
from sports_clip_pipeline.fewshot.cross_validation import fit_temperature, log_loss
from sports_clip_pipeline.fewshot.ensemble import fit_weights
from sports_clip_pipeline.fewshot.linear import (
    LpPlusPlus,
    clap_objective,
    clap_penalty,
    logreg_path,
    solve_clap,
)
from sports_clip_pipeline.fewshot.softmax_solver import SoftmaxProblem, softmax_error
from tests.fewshot.factories import unit

RNG = np.random.default_rng(0)
Objective = Callable[[np.ndarray], tuple[float, np.ndarray]]


def rows(count: int, width: int, classes: int, noise: float) -> Labelled:
    """Unit-norm rows around random centres, with a spectrum as that of pooled features."""
    target, spectrum = np.arange(count) % classes, np.arange(1.0, width + 1) ** -0.7
    centres = RNG.normal(size=(classes, width))[target]
    features = unit((centres + noise * RNG.normal(size=(count, width))) * spectrum)
    return Labelled(features, target, target, classes)


def doubled(one: Labelled) -> Labelled:
    return replace(one, features=one.features.astype(np.float64))


SEPARABLE, NOISY = rows(880, 1280, 22, 1.0), rows(300, 24, 5, 4.0)
TEXT = unit(np.stack([NOISY.features[NOISY.target == label].mean(axis=0) for label in range(5)]))
LOGITS = 20.0 * NOISY.features @ TEXT.T
NAIVE = SoftmaxProblem(doubled(NOISY).features, NOISY.target, 5, text=LOGITS.astype(np.float64))


def logistic_regression(given: Labelled, c: float) -> tuple[np.ndarray, Objective]:
    """The last of a path that ends at c."""
    head = logreg_path(given, (c / 10, c / 3, c))[(c,)]
    weight, bias = head.operations[0].arrays["weight"], head.operations[0].arrays["bias"]
    problem = SoftmaxProblem(doubled(given).features, given.target, given.classes)
    found = np.column_stack([weight, bias, np.ones(given.classes)])
    return found, lambda point: problem.objective(point, c)


def lp_plus_plus(c: float, prior_strength: float) -> tuple[np.ndarray, Objective]:
    joint = replace(NOISY, features=np.hstack([NOISY.features, LOGITS]))
    energy = ((NOISY.features - NOISY.features.mean(axis=0)) ** 2).sum(axis=0)
    head = LpPlusPlus(prior_strength=prior_strength).solve(joint, (30.0, 100.0, c), energy)[(c,)]
    weight, bias = head.operations[0].arrays["weight"], head.operations[0].arrays["bias"]
    centre = 1.0 / fit_temperature(LOGITS, NOISY.target)
    problem = replace(NAIVE, multiplier_prior=centre, prior_strength=prior_strength)
    found = np.column_stack([weight[:, :24], bias, np.diag(weight[:, 24:])])
    return found, lambda point: problem.objective(point, c)


def text_prior(c: float) -> tuple[np.ndarray, Objective]:
    problem = SoftmaxProblem(20.0 * NOISY.features, NOISY.target, 5, prior=TEXT, intercept=False)
    exact = replace(problem, rows=problem.rows.astype(np.float64))
    (_, _), (_, found) = problem.path((c / 10, c))
    return np.column_stack(found), lambda point: exact.objective(point, c)


def pseudo_labels() -> tuple[np.ndarray, Objective]:
    weight = RNG.random(300).astype(np.float32)
    problem = SoftmaxProblem(NOISY.features, NOISY.target, 5, weight)
    exact = replace(problem, rows=problem.rows.astype(np.float64))
    return np.column_stack(problem.solve(10.0)), lambda point: exact.objective(point, 10.0)


def ensemble() -> tuple[np.ndarray, Objective]:
    """Three classifiers, all of which have a positive weight."""
    stack = np.stack([LOGITS + RNG.normal(size=LOGITS.shape) * size for size in (1, 2, 4)])

    def objective(weights: np.ndarray) -> tuple[float, np.ndarray]:
        error = softmax_error(total := np.tensordot(weights, stack, axes=1), NOISY.target)
        return log_loss(total, NOISY.target), np.tensordot(stack, error, axes=2) / 300

    return fit_weights(stack, NOISY.target), objective


def temperature() -> tuple[np.ndarray, Objective]:
    def objective(inverse: np.ndarray) -> tuple[float, np.ndarray]:
        error = softmax_error(inverse * LOGITS, NOISY.target)
        return log_loss(inverse * LOGITS, NOISY.target), np.vdot(error, LOGITS)[None] / 300

    return np.array([1.0 / fit_temperature(LOGITS, NOISY.target)]), objective


def clap() -> tuple[np.ndarray, Objective]:
    penalty = clap_penalty(NOISY, TEXT, 20.0)
    found, exact = solve_clap(NOISY, TEXT, 20.0, penalty), doubled(NOISY)
    return found, lambda point: clap_objective(point, exact, TEXT, 20.0, penalty)


def prolip() -> tuple[np.ndarray, Objective]:
    origin, bias = RNG.normal(size=(24, 24)) / 5, np.zeros(24)
    texts = unit(TEXT @ origin.T)
    start = Pretrained(texts, 20.0, origin.astype(np.float32), bias)
    found = ProjectionProblem(NOISY, start, start.image_weight).solve()
    return found, ProjectionProblem(doubled(NOISY), start, start.image_weight).objective


CASES: dict[str, Callable[[], tuple[np.ndarray, Objective]]] = {
    "logistic regression of separable classes": lambda: logistic_regression(SEPARABLE, 100.0),
    "logistic regression, little regularised": lambda: logistic_regression(NOISY, 1e4),
    "LP++": lambda: lp_plus_plus(300.0, 1e3),
    "LP++, its multipliers hardly held": lambda: lp_plus_plus(300.0, 4.0),
    "logistic regression with a text prior": lambda: text_prior(1.0),
    "pseudo-labels": pseudo_labels,
    "weights of an ensemble": ensemble,
    "temperature": temperature,
    "CLAP": clap,
    "ProLIP": prolip,
}


@pytest.mark.parametrize("case", CASES)
def test_the_fit_is_within_a_ten_thousandth_of_the_least_objective(case: str) -> None:
    found, objective = CASES[case]()

    def flat(point: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = objective(point.reshape(found.shape))
        return value, gradient.ravel()

    options = {"maxiter": 50_000, "maxfun": 50_000, "ftol": 1e-13, "gtol": 1e-12, "maxcor": 30}
    near = found * (1.0 + 0.1 * RNG.normal(size=found.shape))
    least = [
        minimize(flat, start.ravel(), jac=True, method="L-BFGS-B", options=options)
        for start in (found.astype(np.float64), near)
    ]
    assert least[1].fun == pytest.approx(least[0].fun, rel=1e-5)
    assert objective(found)[0] <= (1.0 + 1e-4) * min(one.fun for one in least)
