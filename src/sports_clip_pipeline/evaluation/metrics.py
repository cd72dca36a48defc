"""Classification metrics (accuracy, F1, confusion) and retrieval recall@k."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import confusion_matrix, f1_score, precision_recall_fscore_support

from sports_clip_pipeline.evaluation.predictions import group_trials

_BLOCK = 1 << 24  # similarities computed at a time
_GAINS = (
    "label", "fraction", "seeds", "images", "precision", "recall", "f1", "recall_gain", "f1_gain",
)  # fmt: skip
_PAIRS = ("first", "second", "images", "first_as_second", "second_as_first", "share")


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


SUMMARY_METRICS = ("top1", "top5", "macro_f1")
"""Entries of `classification_report` that `metrics.json` repeats."""


def macro_f1(predicted: np.ndarray, target: np.ndarray, classes: int) -> float:
    """Unweighted mean of the classes' F1; a class never predicted nor present counts 0."""
    return float(
        f1_score(target, predicted, labels=range(classes), average="macro", zero_division=0)
    )


def classification_report(
    probabilities: np.ndarray, target: np.ndarray, labels: Sequence[str]
) -> dict[str, Any]:
    """Top-1, top-5, macro-F1, per-class scores, confusion matrix, chance and majority.

    Args:
        probabilities: (N, C) float. target: (N,) int in [0, C). labels: the C class names.
    Returns: shares in [0, 1]; `confusion[i][j]` counts true class i predicted as j; `chance` is
        1/C, `majority` the share of the most frequent true class.
    """
    predicted = probabilities.argmax(axis=1)
    scores = _class_scores(predicted, target, len(labels)).tolist()
    support = np.bincount(target, minlength=len(labels))
    return {
        "classes": list(labels),
        "top1": top_k_accuracy(probabilities, target, 1),
        "top5": top_k_accuracy(probabilities, target, 5),
        "macro_f1": macro_f1(predicted, target, len(labels)),
        "chance": 1.0 / len(labels),
        "majority": float(support.max() / len(target)),
        "images": len(target),
        "per_class": {
            label: {"precision": precision, "recall": recall, "f1": f1, "support": images}
            for label, precision, recall, f1, images in zip(
                labels, *scores, support.tolist(), strict=True
            )
        },
        "confusion": confusion_matrix(target, predicted, labels=range(len(labels))).tolist(),
    }


def _class_scores(predicted: np.ndarray, target: np.ndarray, classes: int) -> np.ndarray:
    """(3, C): precision, recall and F1 of each class; 0 where undefined."""
    scores = precision_recall_fscore_support(
        target, predicted, labels=range(classes), zero_division=0
    )
    return np.stack(scores[:3])


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
        (0 is zero-shot), `seeds` (number), `images` (test images of the class), `precision`,
        `recall`, `f1` (means over seeds), `recall_gain`, `f1_gain` (over zero-shot).
    Raises: ValueError: the method has no trial.
    """
    predicted = {0.0: zero_shot_probabilities.argmax(axis=1)[None, :]}
    for (name, fraction), group in group_trials(trial_probabilities, target).items():
        if name == method:
            predicted[fraction] = group.predicted()  # (S, N)
    if len(predicted) == 1:
        raise ValueError(f"no trial of {method}")
    scores = {
        fraction: np.mean([_class_scores(row, target, len(labels)) for row in rows], axis=0)
        for fraction, rows in sorted(predicted.items())
    }  # each (3, C)
    support = np.bincount(target, minlength=len(labels)).tolist()
    rows = []
    for i, label in enumerate(labels):
        for fraction, values in scores.items():
            gains = (values - scores[0.0])[1:, i].tolist()
            seeds = len(predicted[fraction])
            rows.append((label, fraction, seeds, support[i], *values[:, i].tolist(), *gains))
    return pd.DataFrame(rows, columns=list(_GAINS))


def most_confused_pairs(
    probabilities: np.ndarray, target: np.ndarray, labels: Sequence[str], top: int
) -> pd.DataFrame:
    """The pairs of classes that are confused with each other most often.

    Args:
        probabilities: (N, C). target: (N,) int. labels: the C class names.
        top: number of pairs; those never confused are left out.
    Returns: most confused first, ties in the order of `labels`: `first`, `second`, `images`
        (confused in either direction), `first_as_second` and `second_as_first` (true class as
        predicted one), `share` (of all errors).
    """
    predicted = probabilities.argmax(axis=1)
    counts = confusion_matrix(target, predicted, labels=range(len(labels))).astype(float)  # (C, C)
    errors = counts.sum() - np.trace(counts)
    both = np.triu(counts + counts.T, k=1)
    order = np.argsort(-both, axis=None, kind="stable")[:top]
    rows = [
        (labels[i], labels[j], both[i, j], counts[i, j], counts[j, i], both[i, j] / errors)
        for i, j in zip(*np.unravel_index(order, both.shape), strict=True)
        if both[i, j] > 0
    ]
    return pd.DataFrame(rows, columns=list(_PAIRS))


def retrieval_metrics(
    image_emb: np.ndarray, text_emb: np.ndarray, image_index: np.ndarray
) -> dict[str, dict[str, float]]:
    """Recall at 1, 5 and 10, text to image and image to text, with several captions an image.

    Args:
        image_emb: (N, D) unit-norm. text_emb: (M, D) unit-norm.
        image_index: (M,) int in [0, N); the image that caption m describes.
    Returns: `{"t2i": {"r1", "r5", "r10"}, "i2t": {…}}`; k is capped by what there is. An image is
        found if any of its captions is among its k nearest.
    Source: Hodosh et al. 2013, section 4.
    """
    ranks = retrieval_ranks(lambda part: text_emb[part] @ image_emb.T, image_index, len(image_emb))
    return _recalls(*ranks)


def retrieval_metrics_of(
    similarity: np.ndarray, image_index: np.ndarray
) -> dict[str, dict[str, float]]:
    """`retrieval_metrics` from similarities (M, N) of captions with images."""
    return _recalls(*retrieval_ranks(lambda part: similarity[part], image_index, len(similarity.T)))


def retrieval_ranks(
    similarity_of: Callable[[slice], np.ndarray], image_index: np.ndarray, images: int
) -> tuple[np.ndarray, np.ndarray]:
    """Rank at which each caption finds its image (M,), and each image its first caption.

    Ranks begin with 1; what ties with the right one, or is NaN, counts as nearer. Images without
    a caption are left out. Similarities are computed in blocks of captions, twice, so that they
    need not all be in memory at once.

    Args:
        similarity_of: similarities (B, N) of a slice of the captions with all images.
    """
    rows = max(1, _BLOCK // images)
    parts = [slice(start, start + rows) for start in range(0, len(image_index), rows)]
    caption_ranks = np.empty(len(image_index), np.int64)
    best_own = np.full(images, -np.inf)
    for part in parts:
        similarity, index = similarity_of(part), image_index[part]
        own = similarity[np.arange(len(index)), index]
        caption_ranks[part] = (~(similarity < own[:, None])).sum(axis=1)  # counts NaN too
        with np.errstate(invalid="ignore"):
            np.maximum.at(best_own, index, own)
    nearer = np.zeros(images, np.int64)  # foreign captions as near as an image's best own one
    for part in parts:
        foreign = image_index[part][:, None] != np.arange(images)
        nearer += (~(similarity_of(part) < best_own) & foreign).sum(axis=0)
    return caption_ranks, 1 + nearer[np.bincount(image_index, minlength=images) > 0]


def _recalls(caption_ranks: np.ndarray, image_ranks: np.ndarray) -> dict[str, dict[str, float]]:
    ranks = {"t2i": caption_ranks, "i2t": image_ranks}
    return {
        way: {f"r{k}": float((rank <= k).mean()) for k in (1, 5, 10)} for way, rank in ranks.items()
    }


def validation_recalls(
    image_emb: np.ndarray, text_emb: np.ndarray, image_index: np.ndarray
) -> dict[str, float]:
    """`validation_t2i_r1` … `validation_i2t_r10` of held-out pairs; as `retrieval_metrics`."""
    return {
        f"validation_{way}_{name}": value
        for way, values in retrieval_metrics(image_emb, text_emb, image_index).items()
        for name, value in values.items()
    }
