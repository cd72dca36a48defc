"""The labelled corpus as several image towers see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from sports_clip_pipeline.corpora.store import ImageStore
from sports_clip_pipeline.models.embedder import Embedder
from sports_clip_pipeline.models.stacking import companion_key


def embed_companions(
    first: Embedder,
    companions: Sequence[str],
    name: str,
    store: ImageStore,
    manifest: pd.DataFrame,
) -> tuple[dict[str, np.ndarray], dict[str, Embedder]]:
    """Features of one corpus from further towers, by the settings of the first.

    Returns: `companion.<tower>` (N, Dₖ) float32 of each companion, means over the same views; and
        what made them, by tower.
    """
    others = {tower: first.companion(tower) for tower in companions}
    arrays = {
        companion_key(tower): other.images(f"{name} {tower}", store, manifest)["features"]
        for tower, other in others.items()
    }
    return arrays, others


def audit_towers(
    first: Embedder, others: Mapping[str, Embedder], store: ImageStore
) -> dict[str, Any]:
    """How all features were made, JSON-like: the first embedder's audit, and the companions'.

    Args:
        store: photographs to measure the towers' cost with, where it is not known yet.
    Returns: the first audit with `companions`; `towers`, a row a tower, the first one first (see
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
    named = {"companions": list(others), "towers": rows}
    return {**audit, **named, "backends": backends, "computed_per_s": computed}
