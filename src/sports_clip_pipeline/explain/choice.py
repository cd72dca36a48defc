"""Choosing the photographs that are worth an explanation."""

from __future__ import annotations

import math
from collections import deque

import numpy as np
import pandas as pd

COLUMNS = ("image", "label", "predicted", "probability", "right")


def choose(
    predictions: pd.DataFrame, right: int, wrong: int, confident_share: float, seed: int
) -> pd.DataFrame:
    """Confident predictions, right and wrong, spread over the classes, drawn with a seed.

    Of the right ones (and of the wrong ones alike) the most confident `confident_share` are
    candidates, or as many as are wanted if that is more. Classes stand in a seeded order, and so do
    the candidates within a class (their true one); each class in turn gives one photograph until
    there are enough. The order of the rows does not matter.

    Args:
        predictions: `image`, `label`, `predicted` str and `probability` float of the prediction.
        right: how many right ones; all there are where there are fewer.
        wrong: how many wrong ones, likewise.
        confident_share: in (0, 1].
        seed: of the draw.
    Returns: the columns of `COLUMNS`; `right` is bool; the right ones stand first.
    """
    table = predictions[["image", "label", "predicted", "probability"]].copy()
    table["right"] = table["label"] == table["predicted"]
    parts = [
        _draw(table[table["right"]], right, confident_share, [seed, 1]),
        _draw(table[~table["right"]], wrong, confident_share, [seed, 0]),
    ]
    return pd.concat(parts, ignore_index=True)[list(COLUMNS)]


def _draw(table: pd.DataFrame, wanted: int, share: float, seed: list[int]) -> pd.DataFrame:
    """Up to `wanted` rows of the most confident `share`, the classes taking turns."""
    kept = max(wanted, math.ceil(share * len(table)))
    ranked = table.sort_values(["probability", "image"], ascending=[False, True]).head(kept)
    random = np.random.default_rng(seed)
    classes = sorted(ranked["label"].unique())
    queue = deque(
        list(random.permutation(np.flatnonzero(ranked["label"] == classes[place])))
        for place in random.permutation(len(classes))
    )
    rows: list[int] = []
    while queue and len(rows) < wanted:
        waiting = queue.popleft()
        rows.append(int(waiting.pop()))
        if waiting:
            queue.append(waiting)
    return ranked.iloc[rows]
