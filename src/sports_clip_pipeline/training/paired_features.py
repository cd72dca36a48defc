"""Images and their captions, by the features of towers that stay as they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sports_clip_pipeline.encoders.feature_store import FeatureRows


@dataclass(frozen=True)
class PairedFeatures:
    """Cached features of images and of their captions.

    Attributes:
        image: (N, D) float32 pooled image features.
        text: (M, E) float32 pooled caption features.
        owner: (M,) int in [0, N); the image that caption m describes.
        views: (N, D) float32 each; what each view gives, whose mean the image features are; none
            where the mean alone is learned from.
    """

    image: FeatureRows
    text: FeatureRows
    owner: np.ndarray
    views: tuple[FeatureRows, ...] = ()

    def captions_of(self) -> list[np.ndarray]:
        """For each image, the rows of its captions."""
        order = np.argsort(self.owner, kind="stable")
        bounds = np.searchsorted(self.owner[order], np.arange(len(self.image) + 1))
        return [order[bounds[n] : bounds[n + 1]] for n in range(len(self.image))]


def pairs_of_split(
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
        views: like `image`, of each view apart.
    Raises: ValueError: the split has no image with captions.
    """
    rows = np.flatnonzero(manifest["split"].to_numpy() == split)
    mine = np.flatnonzero(captions["split"].to_numpy() == split)
    rows = np.intersect1d(rows, captions["image_row"].to_numpy()[mine])
    if len(rows) == 0:
        raise ValueError(f"no captioned image in the split {split!r}")
    owner = np.searchsorted(rows, captions["image_row"].to_numpy()[mine])
    apart = tuple(FeatureRows(view, rows) for view in views)
    return PairedFeatures(
        FeatureRows(image, rows), FeatureRows(text, mine), owner.astype(np.int64), apart
    )
