"""The photographs of one part of the study, as squares of bytes."""

from __future__ import annotations

import numpy as np
import pandas as pd

from sports_clip_pipeline.corpora.store import ImageStore
from sports_clip_pipeline.journal import Journal
from sports_clip_pipeline.preprocessing.images import ImagePreprocessing
from sports_clip_pipeline.training.pixels.squares import Squares


def squares_of_part(
    part: str,
    splits: pd.DataFrame,
    store: ImageStore,
    manifest: pd.DataFrame,
    seen: ImagePreprocessing,
    journal: Journal,
) -> Squares:
    """A part's photographs as a tower sees them whole; decoded when first opened.

    Args:
        part: `development`, `evaluation` or `unlabelled`.
        splits, store, manifest: of one corpus, row by row of the same photographs.
    """
    rows = np.flatnonzero((splits["split"] == part).to_numpy())
    addresses = manifest["stored_sha256"].to_numpy()[rows].tolist()
    return Squares(store, rows, addresses, seen, journal, part)
