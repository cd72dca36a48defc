"""Ensembles of classifiers by weighted sums of logits: blends with zero-shot, stacked ensemble.

A product of experts: the held-out log-loss is convex in the weights w ≥ 0, temperature included.
The scores of an ensemble are cross-fitted: each fold's by weights of the other folds.

Source: Genest and Zidek 1986, section 3 (logarithmic opinion pools); Breiman 1996 (stacked
regressions); Wang et al. 2024, section 3.3, and Wortsman et al. 2022, section 3, with zero-shot.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

import numpy as np
from pydantic import Field
from scipy.optimize import minimize

from sports_clip_pipeline.fewshot.base import Fit, Method, Task
from sports_clip_pipeline.fewshot.cross_validation import Setting, fit_from_held_out, log_loss
from sports_clip_pipeline.fewshot.discriminant import PUBLISHED_SHRINKAGE, Gda, solve_gda
from sports_clip_pipeline.fewshot.linear import Ridge, Strengths, logreg_path, solve_ridge
from sports_clip_pipeline.fewshot.softmax_solver import softmax_error
from sports_clip_pipeline.fewshot.subspace import LinearProbes, Solve
from sports_clip_pipeline.predictor.head import Head, blend

Name = TypeVar("Name")


def fit_weights(logits: Sequence[np.ndarray] | np.ndarray, target: np.ndarray) -> np.ndarray:
    """The weights (K,) ≥ 0 of the sum of logits with the least log-loss.

    Args: logits: K arrays (n, C), none of them constant within all rows. target: (n,) int.
    """
    # Median distance of the greatest logit to the middle one; a unit for weights.
    gaps = [np.median(one.max(axis=1) - np.median(one, axis=1)) for one in logits]
    spread = np.maximum(np.array(gaps, dtype=np.float64), 1e-6)
    stack = np.stack([one / width for one, width in zip(logits, spread, strict=True)])

    def objective(weights: np.ndarray) -> tuple[float, np.ndarray]:
        total = np.tensordot(weights, stack, axes=1)  # (n, C)
        gradient = np.tensordot(stack, softmax_error(total, target), axes=2) / len(target)  # (K,)
        return log_loss(total, target), gradient

    bounds = [(0.0, 1e3)] * len(stack)
    start = np.full(len(stack), 1.0 / len(stack))
    found = minimize(objective, start, jac=True, method="L-BFGS-B", bounds=bounds)
    return found.x / spread


def cross_fit(
    logits: Sequence[np.ndarray], target: np.ndarray, fold: np.ndarray
) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """Weighted sums (n, C) of held-out logits, each row's by weights fitted without its fold.

    Args:
        logits: K arrays (n, C); NaN where a row was not held out, as in the result.
        target, fold: (n,) int. Where one fold alone was held out, every fifth row is a part.
    Returns: the sums, and the weights (K,) without each fold.
    """
    stack = np.stack(logits).astype(np.float64)
    tested = ~np.isnan(stack.sum(axis=(0, 2)))
    parts = fold if len(np.unique(fold[tested])) > 1 else np.arange(len(fold)) % 5
    mixed, weights = np.full(stack.shape[1:], np.nan), {}
    for part in np.unique(parts[tested]).tolist():
        out, rest = tested & (parts == part), tested & (parts != part)
        rest = rest if rest.any() else tested  # of a single row
        weights[part] = fit_weights(stack[:, rest], target[rest])
        mixed[out] = np.tensordot(weights[part], stack[:, out], axes=1)
    return mixed, weights


def blend_with_zero_shot(
    task: Task,
    held_out: Mapping[Setting, np.ndarray],
    names: Sequence[str],
    refit: Callable[[Setting], Head],
) -> Fit:
    """The candidate that, blended with the zero-shot classifier, has the least held-out loss.

    Args:
        held_out: logits (n, C) of each candidate, NaN where a row was not held out.
        names: of the hyper-parameters.
        refit: a candidate fitted on all rows, a head on pooled features.
    Returns: a fit of temperature 1, which the weights include.
    """
    zero_shot, target = task.pretrained.zero_shot_head(), task.labelled.target
    text = zero_shot(task.labelled.features)
    best, (probe_weight, text_weight) = choose_with_zero_shot(text, held_out, target)
    head = blend(refit(best).scaled(probe_weight), zero_shot.scaled(text_weight))
    weights = {"probe_weight": probe_weight, "zero_shot_weight": text_weight}
    mixed, _ = cross_fit((held_out[best], text), target, task.labelled.fold)
    hyperparameters = dict(zip(names, best, strict=True)) | weights
    return fit_from_held_out(target, mixed, head, hyperparameters)


def choose_with_zero_shot(
    text: np.ndarray, held_out: Mapping[Name, np.ndarray], target: np.ndarray
) -> tuple[Name, tuple[float, float]]:
    """The candidate with the least held-out loss beside zero-shot, and the weights of the two.

    Args: text: (n, C) zero-shot logits. held_out: of each candidate (n, C). target: (n,) int.
    """
    scores = {}
    for name, logits in held_out.items():
        tested = ~np.isnan(logits[:, 0])
        pair = (logits[tested], text[tested])
        weights = fit_weights(pair, target[tested])
        scores[name] = (log_loss(np.tensordot(weights, pair, axes=1), target[tested]), weights)
    best = min(scores, key=lambda name: scores[name][0])
    probe_weight, text_weight = scores[best][1].tolist()
    return best, (probe_weight, text_weight)


def blend_probe(task: Task, solve: Solve, values: Sequence[float], name: str) -> Fit:
    """A linear probe with zero-shot; cross-validation sets its hyper-parameter and both weights."""
    probes = LinearProbes.of(task)
    held_out, _ = probes.held_out(solve, values)
    return blend_with_zero_shot(task, held_out, (name,), partial(probes.refit, solve))


class RidgeBlend(Ridge):
    """Ridge regression with the zero-shot classifier."""

    def fit(self, task: Task) -> Fit:
        """Cross-validation sets α and both weights."""
        return blend_probe(task, solve_ridge, self.alpha, "alpha")


class GdaBlend(Gda):
    """Gaussian discriminant analysis with the zero-shot classifier."""

    def fit(self, task: Task) -> Fit:
        """Cross-validation sets the shrinkage and both weights."""
        return blend_probe(task, solve_gda, self.shrinkage, "shrinkage")


class LogregBlend(Method):
    """Logistic regression on rooted features with the zero-shot classifier."""

    c: Strengths = Field(
        (30.0, 100.0, 300.0), description="Inverse regularisation strengths of logistic regression."
    )

    def fit(self, task: Task) -> Fit:
        """Cross-validation sets C and both weights."""
        return blend_probe(task, logreg_path, self.c, "c")


class StackedEnsemble(Method):
    """Stacks logistic regression, ridge, GDA and zero-shot; non-negative weights by held-out loss.

    Each probe is the candidate that does best with zero-shot (GDA, whose weight is small, has its
    published shrinkage); then all weights are fitted at once on the folds.
    """

    c: Strengths = Field(LogregBlend.model_fields["c"].default, description="As of `logreg_blend`.")
    alpha: Strengths = Field(Ridge.model_fields["alpha"].default, description="As of `ridge`.")

    def fit(self, task: Task) -> Fit:
        """Cross-validation sets each probe's hyper-parameter and all weights."""
        probes, labelled = LinearProbes.of(task), task.labelled
        zero_shot = task.pretrained.zero_shot_head()
        text = zero_shot(labelled.features)
        components: dict[str, tuple[Solve, tuple[float, ...]]] = {
            "logreg_c": (logreg_path, self.c),
            "ridge_alpha": (solve_ridge, self.alpha),
            "gda_shrinkage": (solve_gda, (PUBLISHED_SHRINKAGE,)),
        }
        hyperparameters, logits, heads = {}, [], []
        for name, (solve, values) in components.items():
            held_out, _ = probes.held_out(solve, values)
            setting, _ = choose_with_zero_shot(text, held_out, labelled.target)
            (hyperparameters[name],) = setting
            logits.append(held_out[setting])
            heads.append(probes.refit(solve, setting))
        logits, heads = [*logits, text], [*heads, zero_shot]
        tested = ~np.isnan(logits[0][:, 0])
        weights = fit_weights([one[tested] for one in logits], labelled.target[tested])
        head = blend(*(one.scaled(weight) for one, weight in zip(heads, weights, strict=True)))
        names = ("logreg_weight", "ridge_weight", "gda_weight", "zero_shot_weight")
        hyperparameters |= dict(zip(names, weights.tolist(), strict=True))
        mixed, _ = cross_fit(logits, labelled.target, labelled.fold)
        return fit_from_held_out(labelled.target, mixed, head, hyperparameters)
