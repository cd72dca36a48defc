"""Seeded, group-aware splits and nested label subsets."""

import math
import zlib
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pandas as pd

from sports_clip_pipeline.errors import UserFacingError

RANK_SEEDS = 5
EXACT_FRACTIONS = tuple(Fraction(percent, 100) for percent in (0, 1, 2, 5, 10, 25, 50, 100))


def split_captioned(
    groups: np.ndarray,
    eligible: np.ndarray,
    validation: int,
    test: int,
    max_share: float,
    seed: int,
) -> np.ndarray:
    """Random group-aware split into train, validation and test images.

    Args:
        groups: (N,) int; duplicate group of each image.
        eligible: (N,) bool; whether the image may be held out (its group lies in one corpus).
        validation, test: numbers of images to hold out.
        max_share: largest share of N for either.
    Returns: (N,) of `train`, `validation`, `test`.
    """
    limit = round(max_share * len(groups))
    rng = np.random.default_rng([seed, zlib.crc32(b"captioned")])
    split = np.full(len(groups), "train", dtype="<U10")
    free = eligible.copy()
    for name, size in (("test", test), ("validation", validation)):
        taken = _take_groups(groups, free, min(size, limit), rng)
        split[taken] = name
        free &= ~taken
    return split


def _take_groups(
    groups: np.ndarray, free: np.ndarray, size: int, rng: np.random.Generator
) -> np.ndarray:
    """(N,) bool; random whole groups of free images, `size` images or a few less in all."""
    unique, sizes = np.unique(groups[free], return_counts=True)
    chosen = []
    for k in rng.permutation(len(unique)):
        if sizes[k] <= size:
            chosen.append(unique[k])
            size -= int(sizes[k])
    return free & np.isin(groups, chosen)


def make_splits(
    manifest: pd.DataFrame, labels: Sequence[str], test_share: float = 0.2, seed: int = 0
) -> pd.DataFrame:
    """Stratified, group-aware split into development and test, with nested label subsets.

    Args:
        manifest: columns `image`, `label` (null for test images), `split`, `group`.
        labels: the classes of the study.
        test_share: share of each class for testing, at least one image.
    Returns: one row per image, in the order of the manifest: `image`, `label`, `split`, `group`,
        `rank_seed_0` … `rank_seed_4` (rank in the class's seeded order; -1 outside development).
    Raises: UserFacingError: a class has fewer than two groups of images.
    """
    split = np.where(manifest["split"] == "test", "unlabelled", "development").astype("<U16")
    ranks = np.full((len(manifest), RANK_SEEDS), -1, dtype=np.int64)
    names, groups = manifest["image"].to_numpy(dtype=object), manifest["group"].to_numpy()
    for label in labels:
        members = np.flatnonzero((manifest["label"] == label).to_numpy() & (split == "development"))
        members = members[np.argsort(names[members])]
        test = _test_rows(members, groups, label, test_share, seed)
        split[test] = "test"
        development = np.setdiff1d(members, test, assume_unique=True)  # in order of name
        for rank_seed in range(RANK_SEEDS):
            rng = np.random.default_rng([rank_seed, zlib.crc32(f"rank {label}".encode())])
            ranks[rng.permutation(development), rank_seed] = np.arange(len(development))
    splits = manifest[["image", "label"]].reset_index(drop=True).assign(split=split, group=groups)
    splits["split"] = splits["split"].astype("str")
    return splits.assign(**{f"rank_seed_{k}": ranks[:, k] for k in range(RANK_SEEDS)})


def heldout_size(images: int, share: float) -> int:
    """Test images of a class of two or more: its share, at least one and never all."""
    return min(max(1, round(share * images)), images - 1)


def _test_rows(
    members: np.ndarray, groups: np.ndarray, label: str, share: float, seed: int
) -> np.ndarray:
    """Test rows of a class, in whole groups."""
    unique, sizes = np.unique(groups[members], return_counts=True)
    if len(unique) < 2:
        what = f"{len(members)} usable images in {len(unique)} duplicate groups"
        remedy = "add images: one for development and one for the test"
        raise UserFacingError("the labelled corpus", f"the class {label} has {what}", remedy)
    rng = np.random.default_rng([seed, zlib.crc32(f"evaluation {label}".encode())])
    size = heldout_size(len(members), share)
    taken = _take_groups(groups[members], np.ones(len(members), bool), size, rng)
    if not taken.any():  # all groups are larger than the share
        taken = groups[members] == unique[np.argmin(sizes)]
    return members[taken]


def labels_for_fraction(splits: pd.DataFrame, fraction: float, seed: int) -> np.ndarray:
    """Rows of the development images that are labelled at a label fraction; nested by fraction.

    Proportional by class, with the largest remainder method at 1, 2, 5, 10, 25, 50 and 100 %. In
    between, images are added one by one to the class furthest below its quota, so that a smaller
    fraction is a subset of a larger one (largest remainder alone does not guarantee that).

    Args:
        splits: of `make_splits`.
        fraction: of the development images, in (0, 1].
        seed: 0..4, of the ranks.
    Returns: (n,) int64 row positions in `splits`, ascending.
    Raises: UserFacingError: a fraction outside (0, 1], one with less than one image of a class,
        or with no more than one of each.
    """
    if f"rank_seed_{seed}" not in splits:
        raise ValueError(f"there are ranks of seeds 0..{RANK_SEEDS - 1}, got {seed}")
    where = f"label fraction {fraction}"
    share = Fraction(repr(float(fraction)))
    if not 0 < share <= 1:
        raise UserFacingError(where, "is outside (0, 1]", "change it")
    development = splits[splits["split"] == "development"]
    sizes = development["label"].value_counts().sort_index()
    smallest, largest = int(sizes.min()), int(sizes.max())
    if share * smallest < 1:
        what = (
            f"leaves the class {sizes.idxmin()} less than one of its {smallest} development images"
        )
        least = least_fraction(smallest, max(2, largest))
        raise UserFacingError(where, what, f"use {least} or more")
    counts = pd.Series(seats(sizes.to_numpy(), share), index=sizes.index)
    if counts.max() < 2:
        what = "buys one image of each class, which leaves none to choose settings by"
        remedy = (
            f"use {least_fraction(largest, largest)} or more"
            if largest >= 2
            else "add images: three in one class, one of which is the test image"
        )
        raise UserFacingError(where, what, remedy)
    limit = splits["label"].map(counts).fillna(0).to_numpy()
    rank = splits[f"rank_seed_{seed}"].to_numpy()
    return np.flatnonzero((rank >= 0) & (rank < limit))


def least_fraction(smallest: int, largest: int) -> float:
    """The least fraction, to four places, with an image of each class, and two of one.

    Hyper-parameters are chosen on held-out rows, and the only row of a class is never held out.

    Args:
        smallest, largest: development images of the smallest (>= 1) and largest (>= 2) class.
    """
    return max(math.ceil(10_000 / smallest), math.ceil(20_000 / largest)) / 10_000


def seats(sizes: np.ndarray, share: Fraction) -> np.ndarray:
    """Apportion a share of all images to the classes, monotonically in the share.

    Args:
        sizes: (C,) int; images of each class.
        share: in [0, 1].
    Returns: (C,) int64; sums to the rounded share of all, each within one of its quota.
    """
    below = max(exact for exact in EXACT_FRACTIONS if exact <= share)
    counts = _largest_remainder(sizes, below)
    if below == share:
        return counts
    limit = _largest_remainder(sizes, min(exact for exact in EXACT_FRACTIONS if exact >= share))
    for total in range(int(counts.sum()) + 1, _rounded(share * int(sizes.sum())) + 1):
        deficit = total * sizes / sizes.sum() - counts
        counts[np.argmax(np.where(counts < limit, deficit, -np.inf))] += 1
    return counts


def _largest_remainder(sizes: np.ndarray, share: Fraction) -> np.ndarray:
    """Quotas rounded down; the rest goes to the largest remainders, ties to the first."""
    quotas = [share * int(size) for size in sizes]
    counts = np.array([math.floor(quota) for quota in quotas], dtype=np.int64)
    rest = _rounded(share * int(sizes.sum())) - int(counts.sum())
    order = sorted(range(len(quotas)), key=lambda k: math.floor(quotas[k]) - quotas[k])
    counts[order[:rest]] += 1
    return counts


def _rounded(value: Fraction) -> int:
    return math.floor(value + Fraction(1, 2))
