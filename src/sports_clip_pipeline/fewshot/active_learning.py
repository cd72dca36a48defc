"""Active learning: the query strategy that picks the images to label next.

Below ten labels a class a classifier's uncertainty says little, and typical images teach the most:
the images are clustered, and the most typical one of each of the largest clusters without a label
is taken (TypiClust). From ten labels a class on, the acquisition score is the margin between the
two most probable classes; of the ten least certain images for each one to label, those furthest
from everything labelled or taken so far are taken one by one (greedy k-centre, a core-set).

Source: Hacohen et al. 2022, sections 3 and 4 (typical at low budgets, with the sizes used here:
20 neighbours, at most 500 clusters); Scheffer et al. 2001 (margin); Sener and Savarese 2018,
algorithm 1 (k-centre).
"""

from __future__ import annotations

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
    typical_below: float = TYPICAL_BELOW,
) -> pd.DataFrame:
    """The images whose labels are likely to help most, the best first.

    Args:
        images: (M,) names of unlabelled development images.
        probabilities: (M, C) of the chosen predictor. features: (M, D).
        labelled_features: (L, D) of those that have labels, L >= 0. labels: the C class names.
        budget: images to label; all where there are fewer.
        seed: of the grouping.
        typical_below: labels a class (L / C) below which typical images are taken.
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
    order, margin = acquisition_score(probabilities)
    near, known = unit_norm(features), unit_norm(labelled_features)
    if len(known) < typical_below * len(labels):
        chosen, groups = query_typical(near, known, budget, seed)
        reasons = [
            f"typical of {size} alike images, of which {held or 'none'} had a label"
            for size, held in groups
        ]
    else:
        chosen = query_uncertain(margin, near, known, budget)
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


def acquisition_score(probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The two most probable classes (M, 2), and the margin between them (M,); least is queried."""
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :2]
    best, second = np.take_along_axis(probabilities.astype(np.float64), order, axis=1).T
    return order, best - second


def query_typical(
    features: np.ndarray, labelled: np.ndarray, budget: int, seed: int
) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """One image after the other from the largest group with the fewest labels.

    Args: features: (M, D). labelled: (L, D). budget: at most M.
    Returns: (budget,) rows, and for each the size of its group and how many of it had a label.
    """
    group = _clusters(np.concatenate([features, labelled]), len(labelled) + budget, seed)
    own, groups = group[: len(features)], group.max() + 1
    sizes = np.bincount(group, minlength=groups)
    held = np.bincount(group[len(features) :], minlength=groups)
    queues = {g: _by_typicality(features, np.flatnonzero(own == g)) for g in np.unique(own)}
    taken, chosen, described = held.copy(), [], []
    for _ in range(budget):
        place = min((g for g in queues if queues[g]), key=lambda g: (taken[g], -sizes[g], g))
        chosen.append(queues[place].pop(0))
        described.append((int(sizes[place]), int(held[place])))
        taken[place] += 1
    return np.array(chosen, dtype=np.intp), described


def query_uncertain(
    margin: np.ndarray, features: np.ndarray, labelled: np.ndarray, budget: int, pool: int = POOL
) -> np.ndarray:
    """Of the least decided images, those furthest from all labelled or taken so far.

    Args: margin: (M,). features: (M, D). labelled: (L, D). pool: candidates for each one wanted.
    Returns: (budget,) rows. Without labelled ones the least decided is the first.
    """
    candidates = np.argsort(margin, kind="stable")[: pool * budget]
    points = features[candidates]
    distance = np.full(len(points), np.inf)
    if len(labelled):
        distance = _distances(points, labelled).min(axis=1)
    chosen: list[int] = []
    for _ in range(budget):
        place = int(distance.argmax())  # the least decided among equals
        chosen.append(place)
        distance = np.minimum(distance, _distances(points, points[[place]])[:, 0])
        distance[chosen] = -1.0
    return candidates[chosen]


def _clusters(points: np.ndarray, wanted: int, seed: int) -> np.ndarray:
    count = min(wanted, _MOST_CLUSTERS, len(points))
    model = KMeans(count, n_init=1, max_iter=_ITERATIONS, random_state=seed)
    with warnings.catch_warnings():  # fewer groups than asked for are enough
        warnings.simplefilter("ignore", ConvergenceWarning)
        group: np.ndarray = model.fit_predict(points.astype(np.float32))
    return group


def _by_typicality(features: np.ndarray, rows: np.ndarray) -> list[int]:
    """Rows of a group, the one nearest to its neighbours first."""
    neighbours = min(_NEIGHBOURS, len(rows) - 1)
    if neighbours == 0:
        return rows.tolist()
    distances = np.sort(_distances(features[rows], features[rows]), axis=1)
    mean = distances[:, 1 : neighbours + 1].mean(axis=1)  # the first is the row itself
    return rows[np.argsort(mean, kind="stable")].tolist()


def _distances(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """(M, K) Euclidean distances of rows of norm 1."""
    return np.sqrt(np.maximum(2.0 - 2.0 * (left @ right.T), 0.0))


_COLUMNS = ("image", "label", "suggested", "self_confidence", "margin", "rank")


def find_issues(
    images: Sequence[str],
    target: np.ndarray,
    held_out: np.ndarray,
    labels: Sequence[str],
    top: int | None = None,
) -> pd.DataFrame:
    """Confident learning: images that held-out classifiers put confidently elsewhere.

    A image is listed where, of the classes it reaches the usual confidence of (the mean
    probability that the class gets on images labelled so), the most probable is not its
    label. A list to look through, not a verdict: a image may show two sports.

    Args:
        images: (n,) names. target: (n,) int, the labels given.
        held_out: (n, C) probabilities by classifiers that did not see the row; NaN rows (never
            held out) are passed over. labels: the C class names.
        top: rows kept; None for all.
    Returns: the likeliest first: `image`, `label` (given), `suggested` (most probable),
        `self_confidence` (probability of the given label), `margin` (that less the suggested
        one's, in [−1, 0]), `rank` (1 first).
    Raises: ValueError: the lengths differ.
    Source: Northcutt et al. 2021, section 3, as in `cleanlab.filter` (`confident_learning`).
    """
    if not len(images) == len(target) == len(held_out):
        raise ValueError(f"{len(images)} images, {len(target)} labels, {len(held_out)} rows")
    known = np.flatnonzero(~np.isnan(held_out).any(axis=1))
    if len(np.unique(target[known])) < 2:
        return pd.DataFrame(columns=list(_COLUMNS))
    probabilities = held_out[known].astype(np.float64)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    flagged = np.flatnonzero(
        find_label_issues(target[known], probabilities, filter_by="confident_learning", n_jobs=1)
    )
    given = target[known][flagged]
    rows = probabilities[flagged]
    suggested = rows.argmax(axis=1)
    own = rows[np.arange(len(rows)), given]
    margin = own - rows.max(axis=1, initial=0.0)
    order = np.lexsort((margin, own))[:top]  # by self-confidence, then margin
    names = np.asarray(labels, dtype=object)
    return pd.DataFrame(
        {
            "image": np.asarray(images, dtype=object)[known[flagged[order]]],
            "label": names[given[order]],
            "suggested": names[suggested[order]],
            "self_confidence": own[order],
            "margin": margin[order],
            "rank": np.arange(1, len(order) + 1),
        }
    )
