"""k-fold cross-validation inside the labelled subset: where all hyper-parameters are chosen."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from sports_clip_pipeline.fewshot.base import Fit, Labelled
from sports_clip_pipeline.predictor.head import Head, softmax

# Candidates are heads by the tuple of their hyper-parameters, `(0.1,)` or `("root", 30.0)`.
Setting = tuple[Any, ...]
Heads = Mapping[Setting, Head]


def assign_folds(target: np.ndarray, groups: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Stratified group-aware folds: each group, in a seeded order, goes to its class's emptiest.

    Args: target, groups: (n,) int classes and duplicate groups.
    Returns: (n,) int; −1 for the only group of a class, which is never held out.
    """
    rng = np.random.default_rng(seed)
    fold = np.full(len(target), -1)
    for label in np.unique(target):
        of_class = target == label
        first = (np.arange(folds) + label) % folds  # fills equally empty folds in this order
        filled = np.bincount(fold[of_class & (fold >= 0)], minlength=folds)
        for row in rng.permutation(np.flatnonzero(of_class)):
            if fold[row] < 0:
                members = groups == groups[row]
                fold[members] = emptiest = first[filled[first].argmin()]
                filled[emptiest] += (members & of_class).sum()
    for label in np.unique(target):
        if len(np.unique(fold[target == label])) == 1:
            fold[np.isin(groups, groups[target == label])] = -1
    return fold


def cross_validate(labelled: Labelled, fit_all: Callable[..., Heads], **grid: Sequence[Any]) -> Fit:
    """Select the candidate with the least held-out loss, and refit it on all rows.

    Args:
        fit_all: given rows and some values of each hyper-parameter, all candidates fitted on them.
        grid: the values of each hyper-parameter, in the order of `fit_all`'s arguments.
    """
    held_out = held_out_logits(labelled, lambda rows: fit_all(rows, *grid.values()))
    return select_candidate(
        labelled.target,
        held_out,
        tuple(grid),
        lambda setting: fit_all(labelled, *((value,) for value in setting))[setting],
    )


def held_out_logits(
    labelled: Labelled, fit_all: Callable[[Labelled], Heads], max_rows: float = np.inf
) -> dict[Setting, np.ndarray]:
    """Logits (n, C) of every candidate on rows that its fit did not see; NaN on all others.

    Args: max_rows: hold out no further fold once so many rows were; for costly fits.
    """
    held_out: dict[Setting, np.ndarray] = {}
    tested = 0
    for fold in np.unique(labelled.fold[labelled.fold >= 0]):
        if tested >= max_rows:
            break
        out = labelled.fold == fold
        tested += int(out.sum())
        for setting, head in fit_all(labelled.where(~out)).items():
            blank = np.full((len(out), labelled.classes), np.nan)
            held_out.setdefault(setting, blank)[out] = head(labelled.features[out])
    return held_out


def select_candidate(
    target: np.ndarray,
    held_out: Mapping[Setting, np.ndarray],
    names: Sequence[str],
    refit: Callable[[Setting], Head],
) -> Fit:
    """The candidate with the least loss after temperature scaling, refitted on all rows."""
    scores = {}
    for setting, logits in held_out.items():
        tested = ~np.isnan(logits[:, 0])
        temperature = fit_temperature(logits[tested], target[tested])
        loss = log_loss(logits[tested] / temperature, target[tested])
        scores[setting] = (loss, temperature)
    best = min(scores, key=lambda setting: scores[setting][0])
    settings = dict(zip(names, best, strict=True))
    return fit_from_held_out(target, held_out[best], refit(best), settings, scores[best][1])


def fit_from_held_out(
    target: np.ndarray,
    logits: np.ndarray,
    head: Head,
    hyperparameters: dict[str, Any],
    temperature: float = 1.0,
) -> Fit:
    """A head with the scores of its held-out logits (n, C), NaN where a row was not held out."""
    tested = ~np.isnan(logits[:, 0])
    target, scaled = target[tested], logits[tested] / temperature
    probabilities = np.full(logits.shape, np.nan, dtype=np.float32)
    probabilities[tested] = softmax(scaled)
    top1 = float((scaled.argmax(axis=1) == target).mean())
    loss = log_loss(scaled, target)
    return Fit(head, temperature, hyperparameters, top1, loss, probabilities)


def fit_temperature(logits: np.ndarray, target: np.ndarray) -> float:
    """The temperature in [0.01, 100] with the least log-loss; arguments as of `log_loss`.

    Source: Guo et al. 2017, section 4.2.
    """
    found = minimize_scalar(
        lambda log_t: log_loss(logits / np.exp(log_t), target),
        bounds=(np.log(0.01), np.log(100.0)),
        method="bounded",
    )
    return float(np.exp(found.x))


def log_loss(logits: np.ndarray, target: np.ndarray) -> float:
    """Mean cross-entropy, nats.

    Args:
        logits: (n, C). target: (n,) int classes, or (n, C) probabilities.
    """
    log_probs = log_softmax(logits, axis=1)
    if target.ndim == 1:
        return -float(log_probs[np.arange(len(target)), target].mean())
    return -float((target * log_probs).sum(axis=1).mean())
