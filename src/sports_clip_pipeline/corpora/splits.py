"""Who trains and who judges: seeded splits that never part duplicates, and nested label subsets."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pandas as pd

from sports_clip_pipeline.errors import UserFacingError

RANK_SEEDS = 5
ANCHORS = tuple(Fraction(percent, 100) for percent in (0, 1, 2, 5, 10, 25, 50, 100))
_WHERE = "the labelled corpus"


def split_captioned(
    groups: np.ndarray,
    eligible: np.ndarray,
    validation: int,
    test: int,
    max_share: float,
    seed: int,
) -> np.ndarray:
    """Split images at random into train, validation and test, duplicates together.

    Args:
        groups: (N,) int; duplicate group of each image.
        eligible: (N,) bool; whether the image may be held out (its group lies in one corpus).
        validation: images wanted for validation.
        test: images wanted for testing.
        max_share: neither takes more than this share of N.
        seed: of the random choice.
    Returns: (N,) of `train`, `validation`, `test`.
    """
    most = round(max_share * len(groups))
    rng = np.random.default_rng([seed, zlib.crc32(b"captioned")])
    split = np.full(len(groups), "train", dtype="<U10")
    free = eligible.copy()
    for name, wanted in (("test", test), ("validation", validation)):
        taken = _take_groups(groups, free, min(wanted, most), rng)
        split[taken] = name
        free &= ~taken
    return split


def _take_groups(
    groups: np.ndarray, free: np.ndarray, wanted: int, rng: np.random.Generator
) -> np.ndarray:
    """(N,) bool; whole groups at random until `wanted` images are taken, or nearly so."""
    unique, sizes = np.unique(groups[free], return_counts=True)
    order = rng.permutation(len(unique))
    chosen = []
    for k in order:
        if wanted == 0:
            break
        if sizes[k] <= wanted:
            chosen.append(unique[k])
            wanted -= int(sizes[k])
    return free & np.isin(groups, chosen)


def make_splits(
    manifest: pd.DataFrame, labels: Sequence[str], test_share: float = 0.2, seed: int = 0
) -> pd.DataFrame:
    """Split the labelled images into development and evaluation and rank the former.

    Stratified by class; images of one duplicate group stay together.

    Args:
        manifest: columns `image`, `label` (null for test images), `split`, `group`.
        labels: the classes of the study.
        test_share: of each class, at least one image.
        seed: of the random choice.
    Returns: one row an image, in the order of the manifest: `image`, `label`, `part`, `group`,
        `rank_seed_0` … `rank_seed_4` (place in the class's seeded order; -1 outside development).
    Raises: UserFacingError: a class with fewer than two groups of images.
    """
    part = np.where(manifest["split"] == "test", "unlabelled", "development").astype("<U16")
    ranks = np.full((len(manifest), RANK_SEEDS), -1, dtype=np.int64)
    names, groups = manifest["image"].to_numpy(dtype=object), manifest["group"].to_numpy()
    for label in labels:
        members = np.flatnonzero((manifest["label"] == label).to_numpy() & (part == "development"))
        members = members[np.argsort(names[members])]
        evaluation = _evaluation(members, groups, label, test_share, seed)
        part[evaluation] = "evaluation"
        development = np.setdiff1d(members, evaluation, assume_unique=True)
        development = development[np.argsort(names[development])]
        for rank_seed in range(RANK_SEEDS):
            rng = np.random.default_rng([rank_seed, zlib.crc32(f"rank {label}".encode())])
            ranks[rng.permutation(development), rank_seed] = np.arange(len(development))
    splits = manifest[["image", "label"]].reset_index(drop=True).assign(part=part, group=groups)
    splits["split"] = splits["split"].astype("str")
    return splits.assign(**{f"rank_seed_{k}": ranks[:, k] for k in range(RANK_SEEDS)})


def _evaluation(
    members: np.ndarray, groups: np.ndarray, label: str, share: float, seed: int
) -> np.ndarray:
    """Rows of the class that evaluate; whole groups."""
    count = len(np.unique(groups[members]))
    if count < 2:
        what = f"the class {label} has {len(members)} usable images in {count} duplicate groups"
        raise UserFacingError(_WHERE, what, "add images: one to learn from and one to judge by")
    rng = np.random.default_rng([seed, zlib.crc32(f"evaluation {label}".encode())])
    wanted = min(max(1, round(share * len(members))), len(members) - 1)
    taken = _take_groups(groups[members], np.ones(len(members), bool), wanted, rng)
    if not taken.any():  # only groups larger than the share: the smallest judges
        unique, sizes = np.unique(groups[members], return_counts=True)
        taken = groups[members] == unique[np.argmin(sizes)]
    return members[taken]


def labels_for_fraction(splits: pd.DataFrame, fraction: float, seed: int) -> np.ndarray:
    """Rows of the development images whose labels a fraction buys.

    Proportional by class with largest remainder at 1, 2, 5, 10, 25, 50 and 100 %; between those,
    seats are added one by one to the class that is furthest below its quota, so that a smaller
    fraction is always part of a larger one (largest remainder alone does not promise that).

    Args:
        splits: of `make_splits`.
        fraction: of the development images, in (0, 1].
        seed: 0..4, of the ranks.
    Returns: (n,) int64 row positions in `splits`, ascending.
    Raises: UserFacingError: a fraction outside (0, 1], one that leaves a class less than one
        image, or all of them no more than one.
    """
    development = splits[splits["split"] == "development"]
    sizes = development["label"].value_counts().sort_index()
    share = _share(fraction, sizes)
    allowed = pd.Series(seats(sizes.to_numpy(), share), index=sizes.index)
    if allowed.max() < 2:
        raise UserFacingError(
            f"label fraction {fraction}",
            "buys one image of each class, which leaves none to choose settings by",
            _for_two(int(sizes.max())),
        )
    if f"rank_seed_{seed}" not in splits:
        raise ValueError(f"ranks are kept for seeds 0..{RANK_SEEDS - 1}, got {seed}")
    limit = splits["label"].map(allowed).fillna(0).to_numpy()
    rank = splits[f"rank_seed_{seed}"].to_numpy()
    return np.flatnonzero((rank >= 0) & (rank < limit))


def _share(fraction: float, sizes: pd.Series) -> Fraction:
    share = Fraction(repr(float(fraction)))
    if not 0 < share <= 1:
        raise UserFacingError(f"label fraction {fraction}", "is outside (0, 1]", "change it")
    smallest = int(sizes.min())
    if share * smallest < 1:
        least = least_fraction(smallest, max(2, int(sizes.max())))
        raise UserFacingError(
            f"label fraction {fraction}",
            f"leaves the class {sizes.idxmin()} less than one of its {smallest} development images",
            f"use {least} or more",
        )
    return share


def _for_two(largest: int) -> str:
    """What buys two images of the largest class."""
    if largest < 2:
        return "add images: three in one class, one of which judges"
    return f"use {least_fraction(largest, largest)} or more"


def least_fraction(smallest: int, largest: int) -> float:
    """The least fraction, to four places, that buys an image of each class, and two of one.

    Hyper-parameters are chosen on held-out rows, and the only row of a class is never held out.

    Args:
        smallest, largest: development images of the smallest and of the largest class; 1 or more,
            2 or more.
    """
    return max(math.ceil(10_000 / smallest), math.ceil(20_000 / largest)) / 10_000


def seats(sizes: np.ndarray, share: Fraction) -> np.ndarray:
    """Images of each class that a share of all buys.

    Args:
        sizes: (C,) int; images of each class.
        share: in [0, 1].
    Returns: (C,) int64; sums to the rounded share of all, each within one of its quota.
    """
    below = max(anchor for anchor in ANCHORS if anchor <= share)
    taken = _largest_remainder(sizes, below)
    if below == share:
        return taken
    above = min(anchor for anchor in ANCHORS if anchor >= share)
    room = _largest_remainder(sizes, above)
    for total in range(int(taken.sum()) + 1, _rounded(share * int(sizes.sum())) + 1):
        lack = total * sizes / sizes.sum() - taken
        taken[np.argmax(np.where(taken < room, lack, -np.inf))] += 1
    return taken


def _largest_remainder(sizes: np.ndarray, share: Fraction) -> np.ndarray:
    """Quotas rounded down; what is left goes to the largest remainders, ties to the first."""
    quotas = [share * int(size) for size in sizes]
    taken = np.array([math.floor(quota) for quota in quotas], dtype=np.int64)
    left = _rounded(share * int(sizes.sum())) - int(taken.sum())
    remainders = [quota - math.floor(quota) for quota in quotas]
    order = sorted(range(len(quotas)), key=lambda k: (-remainders[k], k))
    taken[order[:left]] += 1
    return taken


def _rounded(value: Fraction) -> int:
    return math.floor(value + Fraction(1, 2))
