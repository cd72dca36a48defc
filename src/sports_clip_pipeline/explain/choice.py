"""Choosing the photographs that are worth an explanation."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable

import numpy as np
import pandas as pd

from sports_clip_pipeline.errors import UserFacingError

COLUMNS = ("image", "label", "predicted", "probability", "right")
PAIR_COLUMNS = ("image", "label", "predicted", "probability", "first", "second")


def refuse_lost(images: Iterable[str], stored: Iterable[str], pipeline: str) -> None:
    """Every photograph that is explained must stand in the store.

    Args:
        images: that are wanted. stored: that the manifest lists. pipeline: that wants them.
    Raises: UserFacingError: one of them is not there.
    """
    lost = sorted(set(images) - set(stored))
    if lost:
        what = f"{len(lost)} of its photographs are not in the manifest, first {lost[0]}"
        remedy = f"run `kedro run --pipelines=finetune` and then {pipeline} on the same images"
        raise UserFacingError("test_predictions", what, remedy)


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


def choose_pairs(predictions: pd.DataFrame, pairs: pd.DataFrame, most: int) -> pd.DataFrame:
    """For each of the pairs that are confused most, a photograph of either class.

    Of the photographs of one class that got an answer within the pair, the surest wrong one is
    taken; where all are right, the least sure one.

    Args:
        predictions: `image`, `label`, `predicted` str and `probability` float of the prediction.
        pairs: `first`, `second`, most confused first; may be empty.
        most: pairs to take.
    Returns: the columns of `PAIR_COLUMNS`; up to two rows a pair.
    """
    rows = []
    for pair in pairs.head(most).itertuples(index=False) if len(pairs) else ():
        both = (str(pair.first), str(pair.second))
        within = predictions[predictions["predicted"].isin(both)]
        for label in both:
            own = within[within["label"] == label].sort_values("image", kind="stable")
            wrong = own[own["predicted"] != label]
            found = wrong if len(wrong) else own
            if len(found):
                surest = found["probability"].to_numpy() * (1 if len(wrong) else -1)
                best = found.iloc[int(surest.argmax())]
                rows.append((*best[list(PAIR_COLUMNS[:4])], *both))
    return pd.DataFrame(rows, columns=list(PAIR_COLUMNS))


def draw_for_measuring(
    predictions: pd.DataFrame, photographs: int, wrong_share: float, seed: int
) -> pd.DataFrame:
    """A seeded draw of right and wrong predictions, in turn; the rows' order does not matter.

    Args:
        predictions: `image`, `label`, `predicted`.
        photographs: how many; all there are where there are fewer.
        wrong_share: of them that are wrong predictions; where there are fewer, right ones fill up,
            and the other way round.
    Returns: rows of `predictions` with `right` bool; the first n of them are the draw of n.
    """
    table = predictions.sort_values("image", kind="stable").reset_index(drop=True)
    right = (table["label"] == table["predicted"]).to_numpy()
    random = np.random.default_rng([seed, 2])
    kinds = [random.permutation(np.flatnonzero(kind)) for kind in (right, ~right)]
    shares = (1 - wrong_share, wrong_share)
    turns = [  # the n-th of a kind comes when its share of all has grown to n
        (np.arange(len(rows)) + 0.5) / max(share, 1e-9)
        for rows, share in zip(kinds, shares, strict=True)
    ]
    order = np.argsort(np.concatenate(turns), kind="stable")[:photographs]
    chosen = np.concatenate(kinds)[order]
    return table.assign(right=right).iloc[chosen].reset_index(drop=True)


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
