"""Image-text pairs of a split: cached features, and the images and captions themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sports_clip_pipeline.data.image_store import ImageStore
from sports_clip_pipeline.encoders.feature_store import FeatureRows


@dataclass(frozen=True)
class PairedFeatures:
    """Cached features of images and of their captions, by frozen encoders.

    Attributes:
        image: (N, D) float32 pooled image features.
        text: (M, E) float32 pooled caption features.
        image_index: (M,) int in [0, N); the image that caption m describes.
        views: (N, D) float32 each; features of each view, whose mean the image features are; none
            where training uses the mean.
    """

    image: FeatureRows
    text: FeatureRows
    image_index: np.ndarray
    views: tuple[FeatureRows, ...] = ()

    def captions_of(self) -> list[np.ndarray]:
        """For each image, the rows of its captions."""
        order = np.argsort(self.image_index, kind="stable")
        bounds = np.searchsorted(self.image_index[order], np.arange(len(self.image) + 1))
        return [order[bounds[n] : bounds[n + 1]] for n in range(len(self.image))]


@dataclass(frozen=True)
class PairedImages:
    """Images and captions of one split, for encoders that are unlocked.

    Attributes:
        features: of the frozen encoders; used where an encoder stays frozen.
        store: of the corpus. rows: (N,) int64; rows of the images in the store.
        token_ids: M arrays of int32, without padding, in the order of `features.text`.
    """

    features: PairedFeatures
    store: ImageStore
    rows: np.ndarray
    token_ids: list[np.ndarray]

    def __len__(self) -> int:
        return len(self.rows)


def paired_features_of_split(
    image: np.ndarray,
    text: np.ndarray,
    manifest: pd.DataFrame,
    captions: pd.DataFrame,
    split: str,
    views: Sequence[np.ndarray] = (),
) -> PairedFeatures:
    """The features of one split, its images renumbered from 0; none is read yet.

    Args:
        image: (N, D) features in manifest order. text: (M, E) features in caption order.
        views: like `image`, of each view on its own.
    Raises: ValueError: the split has no image with captions.
    """
    rows, of_split = _captioned(manifest, captions, split)
    image_index = np.searchsorted(rows, captions["image_row"].to_numpy()[of_split])
    return PairedFeatures(
        FeatureRows(image, rows),
        FeatureRows(text, of_split),
        image_index.astype(np.int64),
        tuple(FeatureRows(view, rows) for view in views),
    )


def paired_images_of_split(
    image: np.ndarray,
    text: np.ndarray,
    manifest: pd.DataFrame,
    captions: pd.DataFrame,
    split: str,
    store: ImageStore,
) -> PairedImages:
    """The pairs of one split, its images renumbered as `paired_features_of_split` does.

    Args:
        image: (N, D) features in manifest order. text: (M, E) features in caption order.
        store: row i of it is row i of the manifest.
    Raises: ValueError: the split has no image with captions, or the store another length.
    """
    if len(store) != len(manifest):
        raise ValueError(f"{len(store)} images for {len(manifest)} manifest rows")
    features = paired_features_of_split(image, text, manifest, captions, split)
    rows, of_split = _captioned(manifest, captions, split)
    token_ids = [np.asarray(ids, dtype=np.int32) for ids in captions["token_ids"].iloc[of_split]]
    return PairedImages(features, store, rows, token_ids)


def _captioned(
    manifest: pd.DataFrame, captions: pd.DataFrame, split: str
) -> tuple[np.ndarray, np.ndarray]:
    """Manifest rows of a split's images that have captions, and the split's caption rows."""
    rows = np.flatnonzero(manifest["split"].to_numpy() == split)
    of_split = np.flatnonzero(captions["split"].to_numpy() == split)
    rows = np.intersect1d(rows, captions["image_row"].to_numpy()[of_split])
    if len(rows) == 0:
        raise ValueError(f"no captioned image in the split {split!r}")
    return rows, of_split
