"""The labelled corpus as several image towers see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from sports_clip_pipeline.corpora.store import ImageStore
from sports_clip_pipeline.journal import Journal
from sports_clip_pipeline.models.embedder import Embedder, embed_together
from sports_clip_pipeline.models.stacking import companion_key


def embed_with_companions(
    first: Embedder,
    additional_encoders: Sequence[str],
    name: str,
    store: ImageStore,
    manifest: pd.DataFrame,
    journal: Journal,
) -> tuple[dict[str, np.ndarray], dict[str, Embedder]]:
    """Features of one corpus from the first tower and from further ones, by its settings.

    Returns: the first embedder's `images`, with `companion.<tower>` (N, Dₖ) float32 of each
        companion, means over the same views; and what made those, by tower.
    """
    others = {tower: first.companion(tower) for tower in additional_encoders}
    names = [name, *(f"{name} {tower}" for tower in others)]
    seen, *further = embed_together([first, *others.values()], names, store, manifest, journal)
    named = zip(others, further, strict=True)
    arrays = {companion_key(tower): found["features"] for tower, found in named if found}
    return {**seen, **arrays}, others


def audit_towers(
    first: Embedder, others: Mapping[str, Embedder], store: ImageStore
) -> dict[str, Any]:
    """How all features were made, JSON-like: the first embedder's audit, and the additional_encoders'.

    Args:
        store: photographs to measure the towers' cost with, where it is not known yet.
    Returns: the first audit with `additional_encoders`; `towers`, a row a tower, the first one first (see
        `Embedder.tower`); `backends` with `companion.<tower>`; `computed_per_s` of all.
    """
    audit = first.audit()
    rows = [embedder.tower(store) for embedder in (first, *others.values())]
    backends, computed = dict(audit["backends"]), dict(audit["computed_per_s"])
    for tower, other in others.items():
        theirs = other.audit()
        computed |= theirs["computed_per_s"]
        if "image" in theirs["backends"]:
            backends[companion_key(tower)] = theirs["backends"]["image"]
    named = {"additional_encoders": list(others), "towers": rows}
    return {**audit, **named, "backends": backends, "computed_per_s": computed}
