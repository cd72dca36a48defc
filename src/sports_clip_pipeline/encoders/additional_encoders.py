"""Features of several image encoders for the labelled corpus, concatenated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from sports_clip_pipeline.data.image_store import ImageStore
from sports_clip_pipeline.encoders.embedder import Embedder, embed_together
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.io.state import Journal


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
    """How all features were made, JSON-like: the first embedder's audit, then the others'.

    Args:
        store: photographs to measure the towers' cost with, where it is not known yet.
    Returns: the first audit with `additional_encoders`; `towers`, a row a tower, the first one
        first (see `Embedder.tower`); `backends` with `companion.<tower>`; `computed_per_s` of all.
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


COMPANION = "companion."


def companion_key(tower: str) -> str:
    """Name of a companion's features among the arrays of a corpus."""
    return COMPANION + tower


def stack_towers(
    arrays: Mapping[str, np.ndarray], additional_encoders: Sequence[str] | None = None
) -> tuple[np.ndarray, tuple[int, ...]]:
    """Put the features of all towers side by side.

    Args:
        arrays: of one corpus: `features` (N, D₀), and `companion.<tower>` (N, Dₖ) of each
            companion.
        additional_encoders: those to take, in this order; all there are, by name, for None.
            Names are in order in the configuration too, so both agree.
    Returns: (N, ΣD) float32, the first tower's columns first, and the columns of each tower. For
        `features` (2, 3) and `companion.lite0` (2, 4): (2, 7) and (3, 4).

    Raises:
        UserFacingError: a companion has no features.
        ValueError: towers have different numbers of rows.
    """
    if additional_encoders is None:
        additional_encoders = sorted(
            key.removeprefix(COMPANION) for key in arrays if _is_companion(key)
        )
    blocks = [arrays["features"], *(_companion(arrays, tower) for tower in additional_encoders)]
    if len({len(block) for block in blocks}) > 1:
        rows = ", ".join(str(len(block)) for block in blocks)
        raise ValueError(f"towers have features of {rows} photographs, wanted one number")
    widths = tuple(block.shape[1] for block in blocks)
    return np.hstack([block.astype(np.float32, copy=False) for block in blocks]), widths


def _is_companion(key: str) -> bool:
    return key.startswith(COMPANION)


def _companion(arrays: Mapping[str, np.ndarray], tower: str) -> np.ndarray:
    key = companion_key(tower)
    if key not in arrays:
        there = ", ".join(name for name in sorted(arrays) if _is_companion(name)) or "none"
        raise UserFacingError(
            f"features of the companion tower {tower}",
            f"are not there (additional_encoders: {there})",
            f"add {tower} to embed.additional_encoders and run `kedro run --pipelines=embed`",
        )
    return arrays[key]
