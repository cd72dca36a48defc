"""Features of several image towers side by side: the first tower, then its additional_encoders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from sports_clip_pipeline.errors import UserFacingError

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
        additional_encoders: those to take, in this order; all there are, by name, for None. Names are in
            order in the configuration too, so both agree.
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
