"""Active learning: query strategies and their acquisition score; label issues.

Below ten labels a class the most typical image of each of the largest clusters without a label is
queried (TypiClust). From then on, of the ten images for each one to label whose margin between the
two most probable classes is least, those furthest from everything labelled or queried so far
(greedy k-centre, a core-set).

Source: Hacohen et al. 2022, sections 3 and 4 (20 neighbours, at most 500 clusters); Scheffer et al.
2001 (margin); Sener and Savarese 2018, algorithm 1 (k-centre).
"""

import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd
from cleanlab.filter import find_label_issues
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

from sports_clip_pipeline.clip.projections import unit_norm

TYPICAL_BELOW = 10.0
POOL = 10
_NEIGHBOURS, _MOST_CLUSTERS, _ITERATIONS = 20, 500, 30


def query_images(
    images: Sequence[str],
    probabilities: np.ndarray,
    features: np.ndarray,
    labelled_features: np.ndarray,
    labels: Sequence[str],
    budget: int,
    seed: int = 0,
) -> pd.DataFrame:
    """The images whose labels are likely to help most, the best first.

    Args:
        images: (M,) names of unlabelled development images.
        probabilities: (M, C) of the chosen predictor. features: (M, D).
        labelled_features: (L, D) of those that have labels, L >= 0. labels: the C class names.
        budget: images to label; all where there are fewer.
    Returns: `image`, `rank` (1 first), `reason` (words), `predicted`, `probability`, `margin`
        (to the second most probable class; 0 is undecided).
    Raises: ValueError: the lengths differ, or the budget is below 1.
    """
    if not len(images) == len(probabilities) == len(features):
        raise ValueError(
            f"{len(images)} images, {len(probabilities)} probabilities, {len(features)} features"
        )
    if budget < 1:
        raise ValueError(f"wanted a budget of at least 1 image, got {budget}")
    budget = min(budget, len(images))
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :2]  # (M, 2)
    best, second = np.take_along_axis(probabilities.astype(np.float64), order, axis=1).T
    margin = best - second  # the acquisition score; the least is queried
    unlabelled, labelled = unit_norm(features), unit_norm(labelled_features)
    if len(labelled) < TYPICAL_BELOW * len(labels):
        chosen, clusters = query_typical(unlabelled, labelled, budget, seed)
        reasons = [
            f"typical of {size} alike images, of which {count or 'none'} had a label"
            for size, count in clusters
        ]
    else:
        chosen = query_uncertain(margin, unlabelled, labelled, budget)
        reasons = [f"undecided between {labels[a]} and {labels[b]}" for a, b in order[chosen]]
    return pd.DataFrame(
        {
            "image": np.asarray(images, dtype=object)[chosen],
            "rank": np.arange(1, len(chosen) + 1),
            "reason": reasons,
            "predicted": np.asarray(labels, dtype=object)[order[chosen, 0]],
            "probability": probabilities[chosen, order[chosen, 0]].astype(np.float64),
            "margin": margin[chosen],
        }
    )


def query_typical(
    features: np.ndarray, labelled: np.ndarray, budget: int, seed: int
) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """One image after the other from the largest cluster with the fewest labels.

    Args: features: (M, D). labelled: (L, D). budget: at most M.
    Returns: (budget,) rows, and for each the size of its cluster and how many of it had a label.
    """
    points = np.concatenate([features, labelled]).astype(np.float32)
    count = min(len(labelled) + budget, _MOST_CLUSTERS, len(points))
    model = KMeans(count, n_init=1, max_iter=_ITERATIONS, random_state=seed)
    with warnings.catch_warnings():  # fewer clusters than asked for are enough
        warnings.simplefilter("ignore", ConvergenceWarning)
        cluster = model.fit_predict(points)
    own, sizes = cluster[: len(features)], np.bincount(cluster)
    counts = np.bincount(cluster[len(features) :], minlength=len(sizes))
    queues = {c: _by_typicality(features, np.flatnonzero(own == c)) for c in np.unique(own)}
    taken, chosen, described = counts.copy(), [], []
    for _ in range(budget):
        best = min((c for c in queues if queues[c]), key=lambda c: (taken[c], -sizes[c], c))
        chosen.append(queues[best].pop(0))
        described.append((int(sizes[best]), int(counts[best])))
        taken[best] += 1
    return np.array(chosen, dtype=np.intp), described


def query_uncertain(
    margin: np.ndarray, features: np.ndarray, labelled: np.ndarray, budget: int, pool: int = POOL
) -> np.ndarray:
    """Of the least decided images, those furthest from all labelled or queried so far.

    Args: margin: (M,). features: (M, D). labelled: (L, D). pool: candidates for each one to label.
    Returns: (budget,) rows. Without labelled ones the least decided is the first.
    """
    candidates = np.argsort(margin, kind="stable")[: pool * budget]
    points = features[candidates]
    distance = np.full(len(points), np.inf)
    if len(labelled):
        distance = _distances(points, labelled).min(axis=1)
    chosen: list[int] = []
    for _ in range(budget):
        chosen.append(int(distance.argmax()))  # the least decided among equals
        distance = np.minimum(distance, _distances(points, points[chosen[-1:]])[:, 0])
        distance[chosen] = -1.0
    return candidates[chosen]


def _by_typicality(features: np.ndarray, rows: np.ndarray) -> list[int]:
    """Rows of a cluster, the one nearest to its neighbours first."""
    neighbours = min(_NEIGHBOURS, len(rows) - 1)
    if neighbours == 0:
        return rows.tolist()
    distances = np.sort(_distances(features[rows], features[rows]), axis=1)
    mean = distances[:, 1 : neighbours + 1].mean(axis=1)  # the first is the row itself
    return rows[np.argsort(mean, kind="stable")].tolist()


def _distances(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """(M, K) Euclidean distances of rows of norm 1."""
    return np.sqrt(np.maximum(2.0 - 2.0 * (left @ right.T), 0.0))


def find_issues(
    images: Sequence[str],
    target: np.ndarray,
    held_out: np.ndarray,
    labels: Sequence[str],
    top: int | None = None,
) -> pd.DataFrame:
    """Label issues by confident learning: images that held-out classifiers put elsewhere.

    Args:
        images: (n,) names. target: (n,) int, the labels given.
        held_out: (n, C) probabilities by classifiers that did not see the row; NaN rows (never
            held out) are skipped. labels: the C class names.
        top: rows returned; None for all.
    Returns: the likeliest first: `image`, `label` (given), `suggested` (most probable),
        `self_confidence` (probability of the given label), `margin` (that less the suggested
        one's, in [−1, 0]), `rank` (1 first).
    Raises: ValueError: the lengths differ.
    Source: Northcutt et al. 2021, section 3, as in `cleanlab.filter` (`confident_learning`).
    """
    if not len(images) == len(target) == len(held_out):
        raise ValueError(f"{len(images)} images, {len(target)} labels, {len(held_out)} rows")
    tested = np.flatnonzero(~np.isnan(held_out).any(axis=1))
    given, probabilities = target[tested], held_out[tested].astype(np.float64)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    issues = np.zeros(len(tested), dtype=bool)
    if len(np.unique(given)) > 1:
        issues = find_label_issues(given, probabilities, filter_by="confident_learning", n_jobs=1)
    names = np.asarray(labels, dtype=object)
    own = np.take_along_axis(probabilities, given[:, None], axis=1)[:, 0]
    table = pd.DataFrame(
        {
            "image": np.asarray(images, dtype=object)[tested],
            "label": names[given],
            "suggested": names[probabilities.argmax(axis=1)],
            "self_confidence": own,
            "margin": own - probabilities.max(axis=1, initial=0.0),
        }
    )
    table = table[issues].sort_values(["self_confidence", "margin"], kind="stable")[:top]
    return table.assign(rank=np.arange(1, len(table) + 1)).reset_index(drop=True)
