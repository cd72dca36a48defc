"""k-fold inside the labelled part: the one place where hyper-parameters are chosen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np
from scipy.optimize import minimize_scalar

from sports_clip_pipeline.models.head import Head, softmax
from sports_clip_pipeline.training.methods.interface import Fit, Labelled

Choice = TypeVar("Choice")


def assign_folds(target: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Stratified folds: within each class, rows in a seeded order are dealt out in turn.

    Args:
        target: (n,) int. folds: at most; no more than the second row of the rarest class allows,
            at least 2.
    Returns: (n,) int; −1 for the only row of a class, which is never held out.
    """
    counts = np.bincount(target)
    k = int(np.clip(counts[counts > 0].min(), 2, folds))
    rng = np.random.default_rng(seed)
    fold = np.full(len(target), -1)
    for label in np.flatnonzero(counts > 1):
        rows = rng.permutation(np.flatnonzero(target == label))
        fold[rows] = (np.arange(len(rows)) + label) % k
    return fold


def choose_by_folds(
    labelled: Labelled,
    fit_all: Callable[[Labelled], Mapping[str, Head]],
    describe: Callable[[str], dict[str, Any]],
) -> Fit:
    """Fit every candidate without each fold, keep the one with the least held-out loss, refit it.

    Args:
        fit_all: the heads of all candidates, by name, fitted on the rows it is given.
        describe: a candidate's hyper-parameters.
    Returns: the chosen candidate fitted on all rows, its temperature fitted on held-out logits.
    """
    held_out: dict[str, np.ndarray] = {}
    tested = labelled.fold >= 0
    for fold in np.unique(labelled.fold[tested]):
        out = labelled.fold == fold
        for name, head in fit_all(labelled.where(~out)).items():
            rows = held_out.setdefault(name, np.zeros((len(out), labelled.classes)))
            rows[out] = head(labelled.features[out])
    target = labelled.target[tested]
    scores = {}
    for name, logits in held_out.items():
        temperature = fit_temperature(logits[tested], target)
        scores[name] = (log_loss(logits[tested] / temperature, target), temperature)
    best = min(scores, key=lambda name: scores[name][0])
    loss, temperature = scores[best]
    return Fit(
        head=fit_all(labelled)[best],
        temperature=temperature,
        hyperparameters=describe(best),
        cv_top1=float((held_out[best][tested].argmax(axis=1) == target).mean()),
        cv_log_loss=loss,
        held_out=_probabilities(held_out[best] / temperature, tested),
    )


def _probabilities(logits: np.ndarray, tested: np.ndarray) -> np.ndarray:
    probabilities = softmax(logits).astype(np.float32)
    probabilities[~tested] = np.nan
    return probabilities


def fit_temperature(logits: np.ndarray, target: np.ndarray) -> float:
    """The temperature in [0.01, 100] with the least log-loss.

    Args:
        logits: (n, C). target: (n,) int in [0, C).
    Source: Guo et al. 2017, section 4.2.
    """
    found = minimize_scalar(
        lambda log_t: log_loss(logits / np.exp(log_t), target),
        bounds=(np.log(0.01), np.log(100.0)),
        method="bounded",
    )
    return float(np.exp(found.x))


def log_loss(logits: np.ndarray, target: np.ndarray) -> float:
    """Mean negative log-probability of the true class, nats."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_sum = np.log(np.exp(shifted).sum(axis=1))
    return float((log_sum - shifted[np.arange(len(target)), target]).mean())
