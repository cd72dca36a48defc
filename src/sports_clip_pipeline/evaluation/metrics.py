"""What a classifier's probabilities are worth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.metrics import confusion_matrix, f1_score, precision_recall_fscore_support


def top_k_accuracy(probabilities: np.ndarray, target: np.ndarray, k: int) -> float:
    """Share of rows whose true class is among the k most probable.

    Args:
        probabilities: (N, C) float. target: (N,) int in [0, C). k: capped at C.
    Returns: share in [0, 1]; a class that ties with the true one counts as more probable.
    Raises: ValueError: the lengths differ.
    """
    if len(probabilities) != len(target):
        raise ValueError(f"{len(probabilities)} rows of probabilities for {len(target)} targets")
    own = probabilities[np.arange(len(target)), target][:, None]  # (N, 1)
    return float(((probabilities >= own).sum(axis=1) <= k).mean())


def macro_f1(predicted: np.ndarray, target: np.ndarray, classes: int) -> float:
    """F1 of each class, averaged evenly; a class never predicted nor present counts 0."""
    return float(
        f1_score(target, predicted, labels=range(classes), average="macro", zero_division=0)
    )


def classification_report(
    probabilities: np.ndarray, target: np.ndarray, labels: Sequence[str]
) -> dict[str, Any]:
    """Top-1, top-5, macro-F1, figures for each class, confusion counts, chance and majority.

    Args:
        probabilities: (N, C) float. target: (N,) int in [0, C). labels: the C class names.
    Returns: shares in [0, 1]; `confusion[i][j]` counts true class i predicted as j; `chance` is
        1/C, `majority` the share of the most frequent true class.
    """
    predicted = probabilities.argmax(axis=1)
    indices = range(len(labels))
    precision, recall, f1, support = precision_recall_fscore_support(
        target, predicted, labels=indices, zero_division=0
    )
    return {
        "classes": list(labels),
        "top1": top_k_accuracy(probabilities, target, 1),
        "top5": top_k_accuracy(probabilities, target, 5),
        "macro_f1": macro_f1(predicted, target, len(labels)),
        "chance": 1.0 / len(labels),
        "majority": float(np.bincount(target).max() / len(target)),
        "photographs": len(target),
        "per_class": {
            label: {
                "precision": float(precision[i]),
                "recall": float(recall[i]),
                "f1": float(f1[i]),
                "support": int(support[i]),
            }
            for i, label in enumerate(labels)
        },
        "confusion": confusion_matrix(target, predicted, labels=indices).tolist(),
    }
