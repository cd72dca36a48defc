"""Which photographs to label next.

The rule. Below ten labels a class a classifier's doubts say little, and typical photographs teach
the most: the unlabelled are grouped into as many groups as there will be labels, and the most
typical photograph of each of the largest groups without a label is taken (TypiClust). From ten
labels a class on, the photographs that the classifier is least decided about are gathered, ten for
each one wanted, and of those the ones furthest from everything labelled or taken so far are
taken one by one (greedy k-centre), so that no two say the same.

Source: Hacohen et al. 2022, sections 3 and 4 (typical at low budgets, with the sizes used here:
20 neighbours, at most 500 groups); Scheffer et al. 2001 (margin); Sener and Savarese 2018,
algorithm 1 (k-centre).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

from sports_clip_pipeline.clip.projections import unit_norm

TYPICAL_BELOW = 10.0
POOL = 10
_NEIGHBOURS, _MOST_GROUPS, _ITERATIONS = 20, 500, 30


def next_to_label(
    images: Sequence[str],
    probabilities: np.ndarray,
    features: np.ndarray,
    labelled_features: np.ndarray,
    labels: Sequence[str],
    budget: int,
    seed: int = 0,
    typical_below: float = TYPICAL_BELOW,
) -> pd.DataFrame:
    """The photographs whose labels are likely to help most, the first the most.

    Args:
        images: (M,) names of unlabelled development photographs.
        probabilities: (M, C) of the chosen predictor. features: (M, D).
        labelled_features: (L, D) of those that have labels, L >= 0. labels: the C class names.
        budget: photographs wanted; all where there are fewer.
        seed: of the grouping.
        typical_below: labels a class (L / C) below which typical photographs are taken.
    Returns: `image`, `rank` (1 first), `reason` (words), `predicted`, `probability`, `margin`
        (to the second most probable class; 0 is undecided).
    Raises: ValueError: the lengths differ, or the budget is below 1.
    """
    if not len(images) == len(probabilities) == len(features):
        raise ValueError(
            f"{len(images)} images, {len(probabilities)} probabilities, {len(features)} features"
        )
    if budget < 1:
        raise ValueError(f"a budget of at least 1 photograph is wanted, got {budget}")
    budget = min(budget, len(images))
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :2]  # (M, 2)
    best, second = np.take_along_axis(probabilities.astype(np.float64), order, axis=1).T
    near, known = unit_norm(features), unit_norm(labelled_features)
    if len(known) < typical_below * len(labels):
        chosen, groups = most_typical(near, known, budget, seed)
        reasons = [
            f"typical of {size} alike photographs, of which {held or 'none'} had a label"
            for size, held in groups
        ]
    else:
        chosen = undecided_and_apart(best - second, near, known, budget)
        reasons = [f"undecided between {labels[a]} and {labels[b]}" for a, b in order[chosen]]
    return pd.DataFrame(
        {
            "image": np.asarray(images, dtype=object)[chosen],
            "rank": np.arange(1, len(chosen) + 1),
            "reason": reasons,
            "predicted": np.asarray(labels, dtype=object)[order[chosen, 0]],
            "probability": best[chosen],
            "margin": (best - second)[chosen],
        }
    )


def most_typical(
    features: np.ndarray, labelled: np.ndarray, budget: int, seed: int
) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """One photograph after the other from the largest group with the fewest labels.

    Args: features: (M, D). labelled: (L, D). budget: at most M.
    Returns: (budget,) rows, and for each the size of its group and how many of it had a label.
    """
    group = _groups(np.concatenate([features, labelled]), len(labelled) + budget, seed)
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


def undecided_and_apart(
    margin: np.ndarray, features: np.ndarray, labelled: np.ndarray, budget: int, pool: int = POOL
) -> np.ndarray:
    """Of the least decided photographs, those furthest from all labelled or taken so far.

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


def _groups(points: np.ndarray, wanted: int, seed: int) -> np.ndarray:
    count = min(wanted, _MOST_GROUPS, len(points))
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
