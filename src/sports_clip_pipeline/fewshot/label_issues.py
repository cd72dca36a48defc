"""Label issues: images whose label is likely wrong, by confident learning (cleanlab)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from cleanlab.filter import find_label_issues

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
