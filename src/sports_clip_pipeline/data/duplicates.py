"""Groups of duplicates, and which of their images stay."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

TIERS = {"test": 3, "validation": 2, "labelled": 1, "train": 0}


def group_duplicates(content: Sequence[int], pairs: np.ndarray) -> np.ndarray:
    """Number the groups of duplicates (connected components); other images form their own group.

    Args:
        content: N numbers; images of the same bytes have the same number.
        pairs: (K, 2) int; numbers of near duplicates.
    Returns: (N,) int64, numbered 0, 1, … by first member.
    """
    numbers = np.asarray(content, np.int64)
    size = int(numbers.max(initial=-1)) + 1
    graph = coo_array((np.ones(len(pairs)), np.asarray(pairs).T), shape=(size, size))
    components = connected_components(graph, directed=False)[1] if size else numbers
    return pd.factorize(components[numbers])[0].astype(np.int64)


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
