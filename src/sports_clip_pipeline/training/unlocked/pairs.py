"""Pairs of one split that can be seen through the towers, not by their features alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from sports_clip_pipeline.data.image_store import ImageStore
from sports_clip_pipeline.training.paired_features import PairedFeatures, pairs_of_split


@dataclass(frozen=True)
class TowerPairs:
    """Photographs and captions of one split.

    Attributes:
        features: of the locked towers; used where a tower stays locked.
        store: of the corpus.
        rows: (N,) int64; rows of the images in the store.
        token_ids: M arrays of int32, without padding, in the order of `features.text`.
    """

    features: PairedFeatures
    store: ImageStore
    rows: np.ndarray
    token_ids: list[np.ndarray]

    def __len__(self) -> int:
        return len(self.rows)


def tower_pairs_of_split(
    image: np.ndarray,
    text: np.ndarray,
    manifest: pd.DataFrame,
    captions: pd.DataFrame,
    split: str,
    store: ImageStore,
) -> TowerPairs:
    """The pairs of one split, its images renumbered from 0 as `pairs_of_split` does.

    Args:
        image: (N, D) features in manifest order. text: (M, E) features in caption order.
        store: row i of it is row i of the manifest.
    Raises: ValueError: the split has no image with captions, or the store another length.
    """
    if len(store) != len(manifest):
        raise ValueError(f"{len(store)} images for {len(manifest)} manifest rows")
    features = pairs_of_split(image, text, manifest, captions, split)
    of_split = captions[(captions["split"] == split).to_numpy()]
    rows = np.flatnonzero((manifest["split"] == split).to_numpy())
    rows = np.intersect1d(rows, of_split["image_row"].to_numpy())
    token_ids = [np.asarray(ids, dtype=np.int32) for ids in of_split["token_ids"]]
    return TowerPairs(features, store, rows, token_ids)
