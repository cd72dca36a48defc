"""Seeded sampling of predictions to explain or measure."""

import math
from collections.abc import Iterable
from itertools import chain, islice, zip_longest

import numpy as np
import pandas as pd

from sports_clip_pipeline.errors import UserFacingError

COLUMNS = ("image", "label", "predicted", "probability", "right")
PAIR_COLUMNS = ("image", "label", "predicted", "probability", "first", "second")


def check_in_store(images: Iterable[str], stored: Iterable[str], pipeline: str) -> None:
    """Raises: UserFacingError: one of `images` is not among `stored`, the manifest's."""
    missing = sorted(set(images) - set(stored))
    if missing:
        what = f"{len(missing)} of its images are not in the manifest, first {missing[0]}"
        remedy = f"run `kedro run --pipelines=finetune` and then {pipeline} on the same images"
        raise UserFacingError("test_predictions", what, remedy)


def sample_predictions(
    predictions: pd.DataFrame, right: int, wrong: int, confident_share: float, seed: int
) -> pd.DataFrame:
    """Class-balanced random sample of confident predictions, right and wrong.

    Of the right ones (and of the wrong ones alike) the most confident `confident_share` are
    candidates, or as many as are requested if that is more. The classes, in random order, take
    turns to give one of their candidates. The order of the rows does not matter.

    Args:
        predictions: `image`, `label`, `predicted`, and `probability` of the prediction.
        right, wrong: numbers to sample; all where there are fewer.
    Returns: the columns of `COLUMNS`; the right ones come first.
    """
    table = predictions[list(COLUMNS[:4])].copy()
    table["right"] = table["label"] == table["predicted"]
    halves = [
        _sample(table[table["right"] == kind], count, confident_share, [seed, int(kind)])
        for kind, count in ((True, right), (False, wrong))
    ]
    return pd.concat(halves, ignore_index=True)


def sample_confused_pairs(
    predictions: pd.DataFrame, pairs: pd.DataFrame, count: int
) -> pd.DataFrame:
    """For each of the most confused class pairs, an image of either class.

    Of the images of one class that were predicted within the pair, the most confident error is
    taken; where all are right, the least confident one.

    Args: pairs: `first`, `second`, most confused first; may be empty. count: number of pairs.
    Returns: the columns of `PAIR_COLUMNS`; up to two rows a pair.
    """
    rows = []
    for pair in pairs.head(count).itertuples(index=False):
        both = (str(pair.first), str(pair.second))
        within = predictions[predictions["predicted"].isin(both)].sort_values("image")
        for label in both:
            images = within[within["label"] == label]
            best = images[images["predicted"] != label].nlargest(1, "probability")
            if best.empty:
                best = images.nsmallest(1, "probability")
            rows += [(*row, *both) for row in best[list(PAIR_COLUMNS[:4])].itertuples(index=False)]
    return pd.DataFrame(rows, columns=list(PAIR_COLUMNS))


def sample_for_measurement(
    predictions: pd.DataFrame, images: int, wrong_share: float, seed: int
) -> pd.DataFrame:
    """Random sample of right and wrong predictions, interleaved; the rows' order does not matter.

    Where there are too few wrong (or right) ones for `wrong_share`, the others fill up.

    Returns: rows of `predictions` with `right` bool; the first n are the sample of n.
    """
    table = predictions.sort_values("image", kind="stable").reset_index(drop=True)
    right = (table["label"] == table["predicted"]).to_numpy()
    random = np.random.default_rng([seed, 2])
    kinds = [random.permutation(np.flatnonzero(kind)) for kind in (right, ~right)]
    positions = [  # the n-th of a kind comes when its share of all has grown to n
        (np.arange(len(rows)) + 0.5) / max(share, 1e-9)
        for rows, share in zip(kinds, (1 - wrong_share, wrong_share), strict=True)
    ]
    order = np.argsort(np.concatenate(positions), kind="stable")[:images]
    chosen = np.concatenate(kinds)[order]
    return table.assign(right=right).iloc[chosen].reset_index(drop=True)


def _sample(table: pd.DataFrame, count: int, share: float, seed: list[int]) -> pd.DataFrame:
    """Up to `count` rows of the most confident `share`, the classes taking turns."""
    candidates = max(count, math.ceil(share * len(table)))
    ranked = table.sort_values(["probability", "image"], ascending=[False, True]).head(candidates)
    random = np.random.default_rng(seed)
    classes = sorted(ranked["label"].unique())
    shuffled = [
        random.permutation(np.flatnonzero(ranked["label"] == classes[index]))[::-1]
        for index in random.permutation(len(classes))
    ]
    rounds = chain.from_iterable(zip_longest(*shuffled))
    return ranked.iloc[list(islice((row for row in rounds if row is not None), count))]
