"""Seeded sampling of the predictions that are explained or measured."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable

import numpy as np
import pandas as pd

from sports_clip_pipeline.errors import UserFacingError

COLUMNS = ("image", "label", "predicted", "probability", "right")
PAIR_COLUMNS = ("image", "label", "predicted", "probability", "first", "second")


def check_in_store(images: Iterable[str], stored: Iterable[str], pipeline: str) -> None:
    """Every explained image must be in the store.

    Raises: UserFacingError: one of `images` is not among `stored`, the manifest's.
    """
    lost = sorted(set(images) - set(stored))
    if lost:
        what = f"{len(lost)} of its images are not in the manifest, first {lost[0]}"
        remedy = f"run `kedro run --pipelines=finetune` and then {pipeline} on the same images"
        raise UserFacingError("test_predictions", what, remedy)


def sample_predictions(
    predictions: pd.DataFrame, right: int, wrong: int, confident_share: float, seed: int
) -> pd.DataFrame:
    """Confident predictions, right and wrong, class-balanced, in a seeded draw.

    Of the right ones (and of the wrong ones alike) the most confident `confident_share` are
    candidates, or as many as are asked for if that is more. Classes are in a seeded order, and so
    are the candidates within a true class; each class in turn gives one image until there are
    enough. The order of the rows does not matter.

    Args:
        predictions: `image`, `label`, `predicted` str and `probability` float of the prediction.
        right, wrong: how many of each; all there are where there are fewer.
        confident_share: in (0, 1].
    Returns: the columns of `COLUMNS`; `right` is bool; the right ones come first.
    """
    table = predictions[["image", "label", "predicted", "probability"]].copy()
    table["right"] = table["label"] == table["predicted"]
    halves = [
        _draw(table[table["right"]], right, confident_share, [seed, 1]),
        _draw(table[~table["right"]], wrong, confident_share, [seed, 0]),
    ]
    return pd.concat(halves, ignore_index=True)[list(COLUMNS)]


def sample_confused_pairs(
    predictions: pd.DataFrame, pairs: pd.DataFrame, count: int
) -> pd.DataFrame:
    """For each of the most confused class pairs, an image of either class.

    Of the images of one class that were predicted within the pair, the most confident error is
    taken; where all are right, the least confident one.

    Args:
        predictions: as `sample_predictions`.
        pairs: `first`, `second`, most confused first; may be empty.
        count: pairs to take.
    Returns: the columns of `PAIR_COLUMNS`; up to two rows a pair.
    """
    rows = []
    for pair in pairs.head(count).itertuples(index=False) if len(pairs) else ():
        both = (str(pair.first), str(pair.second))
        within = predictions[predictions["predicted"].isin(both)]
        for label in both:
            own = within[within["label"] == label].sort_values("image", kind="stable")
            wrong = own[own["predicted"] != label]
            found = wrong if len(wrong) else own
            if len(found):
                confidence = found["probability"].to_numpy() * (1 if len(wrong) else -1)
                best = found.iloc[int(confidence.argmax())]
                rows.append((*best[list(PAIR_COLUMNS[:4])], *both))
    return pd.DataFrame(rows, columns=list(PAIR_COLUMNS))


def sample_for_measurement(
    predictions: pd.DataFrame, images: int, wrong_share: float, seed: int
) -> pd.DataFrame:
    """A seeded draw of right and wrong predictions, interleaved; the rows' order does not matter.

    Args:
        predictions: `image`, `label`, `predicted`.
        images: how many; all there are where there are fewer.
        wrong_share: of them that are wrong; where one kind is short, the other fills up.
    Returns: rows of `predictions` with `right` bool; the first n of them are the draw of n.
    """
    table = predictions.sort_values("image", kind="stable").reset_index(drop=True)
    right = (table["label"] == table["predicted"]).to_numpy()
    random = np.random.default_rng([seed, 2])
    kinds = [random.permutation(np.flatnonzero(kind)) for kind in (right, ~right)]
    shares = (1 - wrong_share, wrong_share)
    positions = [  # the n-th of a kind comes when its share of all has grown to n
        (np.arange(len(rows)) + 0.5) / max(share, 1e-9)
        for rows, share in zip(kinds, shares, strict=True)
    ]
    order = np.argsort(np.concatenate(positions), kind="stable")[:images]
    chosen = np.concatenate(kinds)[order]
    return table.assign(right=right).iloc[chosen].reset_index(drop=True)


def _draw(table: pd.DataFrame, wanted: int, share: float, seed: list[int]) -> pd.DataFrame:
    """Up to `wanted` rows of the most confident `share`, the classes in rotation."""
    candidates = max(wanted, math.ceil(share * len(table)))
    ranked = table.sort_values(["probability", "image"], ascending=[False, True]).head(candidates)
    random = np.random.default_rng(seed)
    classes = sorted(ranked["label"].unique())
    queue = deque(
        list(random.permutation(np.flatnonzero(ranked["label"] == classes[index])))
        for index in random.permutation(len(classes))
    )
    rows: list[int] = []
    while queue and len(rows) < wanted:
        remaining = queue.popleft()
        rows.append(int(remaining.pop()))
        if remaining:
            queue.append(remaining)
    return ranked.iloc[rows]
