"""Weights of classifiers whose logits are added, fitted on held-out rows.

Adding logits multiplies probabilities: a product of experts. With weights w ≥ 0 the held-out
log-loss is convex in w, so the weights, temperature included, are found exactly rather than on a
grid.

Source: Genest and Zidek 1986, section 3 (logarithmic opinion pools); Wang et al. 2024 and Zhang et
al. 2022 for the pool of a probe and the zero-shot classifier.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy.optimize import minimize

from sports_clip_pipeline.predictor.head import Head, blend, softmax
from sports_clip_pipeline.training.methods.cross_validation import judged, log_loss
from sports_clip_pipeline.training.methods.interface import Fit, Labelled


def fit_weights(logits: Sequence[np.ndarray], target: np.ndarray) -> np.ndarray:
    """The weights ≥ 0 of the sum of logits with the least log-loss.

    Args:
        logits: K arrays (n, C), none of them constant within all rows.
        target: (n,) int in [0, C).
    Returns: (K,) float64. For one array it is the inverse of its best temperature.
    """
    spread = np.array([_spread(one) for one in logits])
    stack = np.stack([one / width for one, width in zip(logits, spread, strict=True)])
    rows = np.arange(len(target))

    def objective(weights: np.ndarray) -> tuple[float, np.ndarray]:
        total = np.tensordot(weights, stack, axes=1)  # (n, C)
        error = softmax(total)
        error[rows, target] -= 1.0
        gradient = np.tensordot(stack, error, axes=2) / len(target)  # (K,)
        return log_loss(total, target), gradient

    bounds = [(0.0, 1e3)] * len(stack)
    start = np.full(len(stack), 1.0 / len(stack))
    found = minimize(objective, start, jac=True, method="L-BFGS-B", bounds=bounds)
    weights: np.ndarray = found.x / spread
    return weights


def _spread(logits: np.ndarray) -> float:
    """How far the best class stands above the middle one in a usual row; a unit for weights."""
    return max(float(np.median(logits.max(axis=1) - np.median(logits, axis=1))), 1e-6)


def choose_blend(
    labelled: Labelled,
    held_out: Mapping[str, np.ndarray],
    describe: Callable[[str], dict[str, Any]],
    refit: Callable[[str], Head],
    zero_shot: Head,
) -> Fit:
    """The probe that, blended with the zero-shot classifier, has the least held-out loss.

    Args:
        labelled: features (n, D) pooled.
        held_out: logits (n, C) of each candidate on rows that it did not see, NaN elsewhere.
        describe: a candidate's hyper-parameters.
        refit: a candidate fitted on all rows, a head on pooled features.
        zero_shot: it has seen no label, so every row is held out from it.
    Returns: a head whose temperature is 1: the weights hold it.
    """
    text = zero_shot(labelled.features)
    best, (probe_weight, text_weight) = best_beside(text, held_out, labelled.target)
    head = blend(refit(best).scaled(probe_weight), zero_shot.scaled(text_weight))
    weights = {"probe_weight": probe_weight, "zero_shot_weight": text_weight}
    mixed = probe_weight * held_out[best] + text_weight * text
    return judged(labelled, mixed, head, {**describe(best), **weights})


def best_beside(
    text: np.ndarray, held_out: Mapping[str, np.ndarray], target: np.ndarray
) -> tuple[str, tuple[float, float]]:
    """The candidate with the least held-out loss beside zero-shot, and the weights of the two.

    Args:
        text: (n, C) zero-shot logits.
        held_out: logits (n, C) of each candidate, NaN where a row was not held out.
        target: (n,) int.
    """
    scores = {}
    for name, logits in held_out.items():
        tested = ~np.isnan(logits[:, 0])
        pair = (logits[tested], text[tested])
        weights = fit_weights(pair, target[tested])
        scores[name] = (log_loss(np.tensordot(weights, pair, axes=1), target[tested]), weights)
    best = min(scores, key=lambda name: scores[name][0])
    probe_weight, text_weight = (float(weight) for weight in scores[best][1])
    return best, (probe_weight, text_weight)
