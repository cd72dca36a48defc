"""k-fold inside the labelled part: the one place where hyper-parameters are chosen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np
from scipy.optimize import minimize_scalar

from sports_clip_pipeline.predictor.head import Head, softmax
from sports_clip_pipeline.training.methods.interface import Fit, Labelled

Choice = TypeVar("Choice")


def assign_folds(target: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Stratified folds: within each class, rows in a seeded order are dealt out in turn.

    A class with fewer rows than folds is held out by some folds and not by others; fewer folds
    instead would leave every fit with half of the labels that it will have in the end.

    Args:
        target: (n,) int. folds: how many.
    Returns: (n,) int; −1 for the only row of a class, which is never held out.
    """
    counts = np.bincount(target)
    rng = np.random.default_rng(seed)
    fold = np.full(len(target), -1)
    for label in np.flatnonzero(counts > 1):
        rows = rng.permutation(np.flatnonzero(target == label))
        fold[rows] = (np.arange(len(rows)) + label) % folds
    return fold


def choose_by_folds(
    labelled: Labelled,
    fit_all: Callable[[Labelled], Mapping[str, Head]],
    describe: Callable[[str], dict[str, Any]],
    refit: Callable[[str], Head] | None = None,
) -> Fit:
    """Fit every candidate without each fold, keep the one with the least held-out loss, refit it.

    Args:
        fit_all: the heads of all candidates, by name, fitted on the rows it is given.
        describe: a candidate's hyper-parameters.
        refit: one candidate fitted on all rows; by `fit_all`, if not given.
    Returns: the chosen candidate fitted on all rows, its temperature fitted on held-out logits.
    """
    again = refit or (lambda name: fit_all(labelled)[name])
    return keep_best(labelled, hold_out(labelled, fit_all), describe, again)


def hold_out(
    labelled: Labelled,
    fit_all: Callable[[Labelled], Mapping[str, Head]],
    enough: int | None = None,
) -> dict[str, np.ndarray]:
    """Logits (n, C) of every candidate on rows that its fit did not see; NaN on all others.

    Args:
        enough: hold out no further fold once this many rows were; for costly fits, whose held-out
            rows serve a temperature or a few candidates.
    """
    held_out: dict[str, np.ndarray] = {}
    seen = 0
    for fold in np.unique(labelled.fold[labelled.fold >= 0]):
        if enough is not None and seen >= enough:
            break
        out = labelled.fold == fold
        seen += int(out.sum())
        for name, head in fit_all(labelled.where(~out)).items():
            blank = np.full((len(out), labelled.classes), np.nan)
            held_out.setdefault(name, blank)[out] = head(labelled.features[out])
    return held_out


def keep_best(
    labelled: Labelled,
    held_out: Mapping[str, np.ndarray],
    describe: Callable[[str], dict[str, Any]],
    refit: Callable[[str], Head],
) -> Fit:
    """The candidate with the least held-out loss after its temperature, fitted on all rows.

    Args:
        held_out: of `hold_out`.
        describe: a candidate's hyper-parameters.
        refit: a candidate fitted on all rows.
    """
    scores = {}
    for name, logits in held_out.items():
        tested = ~np.isnan(logits[:, 0])
        temperature = fit_temperature(logits[tested], labelled.target[tested])
        loss = log_loss(logits[tested] / temperature, labelled.target[tested])
        scores[name] = (loss, temperature)
    best = min(scores, key=lambda name: scores[name][0])
    temperature = scores[best][1]
    return judged(labelled, held_out[best], refit(best), describe(best), temperature)


def judged(
    labelled: Labelled,
    logits: np.ndarray,
    head: Head,
    hyperparameters: dict[str, Any],
    temperature: float = 1.0,
) -> Fit:
    """A head with what its held-out logits (n, C; NaN where a row was not held out) say of it."""
    tested = ~np.isnan(logits[:, 0])
    target = labelled.target[tested]
    scaled = logits[tested] / temperature
    probabilities = np.full(logits.shape, np.nan, dtype=np.float32)
    probabilities[tested] = softmax(scaled)
    return Fit(
        head=head,
        temperature=temperature,
        hyperparameters=hyperparameters,
        cv_top1=float((scaled.argmax(axis=1) == target).mean()),
        cv_log_loss=log_loss(scaled, target),
        held_out=probabilities,
    )


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
