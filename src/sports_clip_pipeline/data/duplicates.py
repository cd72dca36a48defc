"""Near-duplicate grouping by difference hash (dHash, a perceptual hash), and which images stay.

Two images are duplicates if their difference hashes are equal, or if the hashes differ in at most
`bits` bits and the 16 × 16 grey thumbnails differ by at most `grey_levels` on average. In the two
public corpora that average is below 4 for true pairs within two bits and above 35 for the others,
so the default of 8 lies in a wide gap.

Source: imagehash.dhash; Krawetz 2013, "Kind of like that" (difference hash).
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

HASH_BITS = 64
TIERS = {"test": 3, "validation": 2, "labelled": 1, "train": 0}


def group_near_duplicates(
    hashes: Sequence[str], thumbnails: np.ndarray, bits: int, grey_levels: float
) -> np.ndarray:
    """Number the groups of duplicates (connected components); other images form their own group.

    Args:
        hashes: N difference hashes, 16 hex digits each.
        thumbnails: (N, P) uint8 grey values.
        bits: largest Hamming distance of near hashes, 0..63.
        grey_levels: largest mean absolute difference of near duplicates' thumbnails.
    Returns: (N,) int64, numbered 0, 1, … by first member.
    """
    values = np.array([int(text, 16) for text in hashes], dtype=np.uint64)
    unique, first, inverse = np.unique(values, return_index=True, return_inverse=True)
    pairs = _near_pairs(unique, bits)
    left, right = (thumbnails[first[side]].astype(np.int16) for side in pairs.T)
    edges = pairs[np.abs(left - right).mean(axis=1) <= grey_levels]
    graph = coo_array((np.ones(len(edges)), edges.T), shape=(len(unique), len(unique)))
    components = connected_components(graph, directed=False)[1]
    return pd.factorize(components[inverse])[0].astype(np.int64)


def _near_pairs(values: np.ndarray, bits: int) -> np.ndarray:
    """(K, 2) index pairs of different hashes with a Hamming distance of at most `bits`.

    Of `bits` + 1 bands at least one is equal in such a pair (pigeonhole principle), so only hashes
    that share a band are compared.
    """
    found = [np.empty((0, 2), np.int64)]
    for first_bit in range(bits + 1) if bits else ():
        # Every (bits + 1)-th bit: a plain sky fills neighbouring bits with the same value.
        band = values & np.uint64(sum(1 << bit for bit in range(first_bit, HASH_BITS, bits + 1)))
        order = np.argsort(band, kind="stable")
        for step in range(1, len(order)):
            same = np.flatnonzero(band[order[step:]] == band[order[:-step]])
            if not len(same):
                break  # sorted: no run of equal bands is longer than `step`
            left, right = order[same], order[same + step]
            near = np.bitwise_count(values[left] ^ values[right]) <= bits
            found.append(np.sort(np.stack([left[near], right[near]], axis=1), axis=1))
    return np.unique(np.concatenate(found), axis=0)


def duplicate_actions(images: pd.DataFrame) -> pd.Series:
    """Resolve duplicates: each image is `kept`, `dropped` or `quarantined`.

    Labelled members of a group with two labels are quarantined, as either label may be wrong. Of
    the rest, a group keeps the members of its highest tier: test images of either corpus, then
    Flickr8k's validation images, then labelled images, then Flickr8k's training images. So no
    training image is also a validation or test image.

    Args:
        images: columns `corpus`, `split`, `label` (null where there is none) and `group`.
    """
    labels = images.groupby("group")["label"].transform("nunique")
    conflict = (labels > 1) & images["label"].notna()
    role = images["split"].where(images["label"].isna(), "labelled")
    tier = role.map(TIERS).where(~conflict, -1)
    highest = tier.groupby(images["group"]).transform("max")
    actions = pd.Series("kept", index=images.index, dtype="str")
    actions[tier < highest] = "dropped"
    actions[conflict] = "quarantined"
    return actions


def list_duplicates(images: pd.DataFrame, actions: pd.Series) -> pd.DataFrame:
    """One row per member of a group of two or more; `kind` is `exact` if the bytes are equal.

    Args:
        images: columns `corpus`, `image`, `split`, `label`, `sha256`, `group`.
        actions: of `duplicate_actions`.
    """
    is_grouped = images.groupby("group")["image"].transform("size") > 1
    is_exact = images.groupby(["group", "sha256"])["image"].transform("size") > 1
    found = images.assign(kind=np.where(is_exact, "exact", "near"), action=actions)[is_grouped]
    columns = ["group", "corpus", "image", "split", "label", "kind", "action"]
    return found[columns].sort_values(["group", "corpus", "image"]).reset_index(drop=True)
