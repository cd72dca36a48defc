"""Exact and near duplicates within and across corpora, and which of them may stay.

Two images belong together when their difference hashes are equal, or when the hashes are at most
`bits` apart and their 16 × 16 grey thumbnails differ by at most `grey_levels` on average. On the
two public corpora that average lies below 4 for true pairs within two bits and above 35 for the
others, so the default of 8 stands in a wide gap.

Source: imagehash.dhash; Krawetz 2013, "Kind of like that" (difference hash).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

HASH_BITS = 64
TIERS = {"test": 3, "validation": 2, "labelled": 1, "train": 0}


def find_groups(
    hashes: Sequence[str], thumbnails: np.ndarray, bits: int, grey_levels: float
) -> np.ndarray:
    """Number the groups of duplicates; an image without any is a group of its own.

    Args:
        hashes: N difference hashes, 16 hex digits each.
        thumbnails: (N, P) uint8 grey values.
        bits: hashes at most this far apart are near, 0..63.
        grey_levels: near hashes count when the thumbnails differ by at most this on average.
    Returns: (N,) int64, numbered 0, 1, … by first member.
    """
    values = np.array([int(text, 16) for text in hashes], dtype=np.uint64)
    unique, first, inverse = np.unique(values, return_index=True, return_inverse=True)
    parent = np.arange(len(unique))
    for left, right in _near_pairs(unique, bits):
        ours, theirs = (thumbnails[first[k]].astype(np.int16) for k in (left, right))
        if np.abs(ours - theirs).mean() <= grey_levels:
            parent[_root(parent, left)] = _root(parent, right)
    roots = np.array([_root(parent, k) for k in range(len(unique))], dtype=np.int64)
    return _numbered(roots[inverse])


def _near_pairs(values: np.ndarray, bits: int) -> list[tuple[int, int]]:
    """Index pairs of different hashes at most `bits` apart.

    Of `bits` + 1 bands at least one is equal in such a pair (pigeonhole), so only hashes that
    share a band are compared.
    """
    found: set[tuple[int, int]] = set()
    for first in range(bits + 1) if bits else ():
        # Every (bits + 1)-th bit: a plain sky fills neighbouring bits with the same value.
        band = values & np.uint64(sum(1 << bit for bit in range(first, HASH_BITS, bits + 1)))
        order = np.argsort(band, kind="stable")
        for step in range(1, len(order)):
            same = np.flatnonzero(band[order[step:]] == band[order[:-step]])
            if not len(same):
                break  # sorted: no run is longer than `step`
            left, right = order[same], order[same + step]
            near = np.bitwise_count(values[left] ^ values[right]) <= bits
            pairs = np.sort(np.stack([left[near], right[near]], axis=1), axis=1)
            found.update(map(tuple, pairs.tolist()))
    return sorted(found)


def _root(parent: np.ndarray, k: int) -> int:
    while parent[k] != k:
        parent[k] = parent[parent[k]]
        k = int(parent[k])
    return k


def _numbered(marks: np.ndarray) -> np.ndarray:
    """Marks renamed 0, 1, … in the order of their first appearance."""
    _, first, inverse = np.unique(marks, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse]


def judge(images: pd.DataFrame) -> pd.Series:
    """What becomes of each image: `kept`, `dropped` or `quarantined`.

    Labelled members of a group with two labels are quarantined: one of the labels is wrong, and
    nobody knows which. Of the rest, a group keeps the members of its highest tier: test images of
    either corpus, then Flickr8k's validation, then labelled images, then Flickr8k's training
    images. So no training side ever shares a photograph with what judges it.

    Args:
        images: columns `corpus`, `split`, `label` (null where there is none) and `group`.
    """
    labels = images.groupby("group")["label"].transform("nunique")
    conflict = (labels > 1) & images["label"].notna()
    role = images["split"].where(images["label"].isna(), "labelled")
    tier = role.map(TIERS).where(~conflict, -1)
    highest = tier.groupby(images["group"]).transform("max")
    verdict = pd.Series("kept", index=images.index, dtype="str")
    verdict[tier < highest] = "dropped"
    verdict[conflict] = "quarantined"
    return verdict


def list_duplicates(images: pd.DataFrame, verdict: pd.Series) -> pd.DataFrame:
    """One row a member of each group of two or more; `kind` is `exact` where the bytes are equal.

    Args:
        images: columns `corpus`, `image`, `split`, `label`, `sha256`, `group`.
        verdict: of `judge`.
    """
    several = images.groupby("group")["image"].transform("size") > 1
    twins = images.groupby(["group", "sha256"])["image"].transform("size") > 1
    found = images.assign(
        kind=np.where(twins, "exact", "near"), action=verdict, split=images["split"]
    )[several]
    columns = ["group", "corpus", "image", "split", "label", "kind", "action"]
    return found[columns].sort_values(["group", "corpus", "image"]).reset_index(drop=True)
