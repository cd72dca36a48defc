"""What labels buy, class by class, and which classes stay confused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from sklearn.metrics import confusion_matrix

from sports_clip_pipeline.evaluation.answers import points_of

_GAINS = (
    "label", "fraction", "seeds", "photographs", "precision", "recall", "f1", "recall_gain",
    "f1_gain",
)  # fmt: skip
_PAIRS = ("first", "second", "photographs", "first_as_second", "second_as_first", "share")


def class_gains(
    method: str,
    trial_probabilities: Mapping[str, np.ndarray],
    target: np.ndarray,
    labels: Sequence[str],
    zero_shot_probabilities: np.ndarray,
) -> pd.DataFrame:
    """Precision, recall and F1 of each class, from zero-shot to every fraction of one method.

    Args:
        trial_probabilities: (N, C) by `<method>/<fraction>/<seed>`; other methods are left out.
        target: (N,) int in [0, C). labels: the C class names. zero_shot_probabilities: (N, C).
    Returns: one row a class × fraction, fractions ascending within a class: `label`, `fraction`
        (0 is zero-shot), `seeds` (number), `photographs` (of the class on evaluation),
        `precision`, `recall`, `f1` (means over seeds; 0 where nothing is predicted),
        `recall_gain`, `f1_gain` (less zero-shot's).
    Raises: ValueError: the method has no arm.
    """
    answers = {0.0: zero_shot_probabilities.argmax(axis=1)[None, :]}
    for (name, fraction), point in points_of(trial_probabilities, target).items():
        if name == method:
            answers[fraction] = point.predicted()  # (S, N)
    if len(answers) == 1:
        raise ValueError(f"no arm of {method}")
    figures = {
        fraction: np.mean([_figures(row, target, len(labels)) for row in predicted], axis=0)
        for fraction, predicted in sorted(answers.items())
    }  # each (3, C)
    support = np.bincount(target, minlength=len(labels))
    rows = []
    for place, label in enumerate(labels):
        for fraction, values in figures.items():
            own, start = values[:, place], figures[0.0][:, place]
            seeds = len(answers[fraction])
            gained = (own - start)[1:].tolist()
            rows.append((label, fraction, seeds, int(support[place]), *own.tolist(), *gained))
    return pd.DataFrame(rows, columns=list(_GAINS))


def remaining_confusions(
    probabilities: Sequence[np.ndarray], target: np.ndarray, labels: Sequence[str], top: int = 15
) -> pd.DataFrame:
    """The pairs of classes that are taken for each other most often.

    Args:
        probabilities: S arrays (N, C), one a seed. target: (N,) int. labels: the C class names.
        top: pairs kept; those never confused are left out.
    Returns: most confused first, ties in the order of `labels`: `first`, `second`, `photographs`
        (taken for each other, mean over seeds), `first_as_second` and `second_as_first` (true
        class as predicted one), `share` (of all errors).
    """
    classes = range(len(labels))
    counts = np.mean(
        [confusion_matrix(target, array.argmax(axis=1), labels=classes) for array in probabilities],
        axis=0,
    )  # (C, C), rows true
    errors = counts.sum() - np.trace(counts)
    both = np.triu(counts + counts.T, k=1)
    order = np.argsort(-both, axis=None, kind="stable")[:top]
    rows = []
    for i, j in zip(*np.unravel_index(order, both.shape), strict=True):
        if both[i, j] > 0:
            ways = (float(both[i, j]), float(counts[i, j]), float(counts[j, i]))
            rows.append((labels[i], labels[j], *ways, float(both[i, j] / errors)))
    return pd.DataFrame(rows, columns=list(_PAIRS))


def _figures(predicted: np.ndarray, target: np.ndarray, classes: int) -> np.ndarray:
    """(3, C): precision, recall, F1."""
    hits = np.bincount(target[predicted == target], minlength=classes).astype(np.float64)
    said, true = (np.bincount(side, minlength=classes) for side in (predicted, target))
    return np.stack(
        [
            hits / np.maximum(said, 1),
            hits / np.maximum(true, 1),
            2 * hits / np.maximum(said + true, 1),
        ]
    )
