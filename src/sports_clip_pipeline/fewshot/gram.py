"""Sums of squares and products of rows around a mean, without a centred copy of all rows."""

from __future__ import annotations

import numpy as np
from scipy.linalg.blas import ssyrk

BLOCK = 1024


def lower_gram(
    rows: np.ndarray,
    means: np.ndarray,
    place: np.ndarray | None = None,
    order: np.ndarray | None = None,
) -> np.ndarray:
    """Σ (x − m)(x − m)ᵀ over the rows, for LAPACK.

    Args:
        rows: (n, r) float32.
        means: (r,) of all rows, or (C, r) and the one of each row is at its `place`.
        place: (n,) int in [0, C).
        order: (n,) int; rows are added up in this order, which the last bits depend on.
    Returns: (r, r) float32 in Fortran order; the lower triangle alone is filled.
    """
    gram = np.zeros((rows.shape[1],) * 2, dtype=np.float32, order="F")
    for start in range(0, len(rows), BLOCK):
        part = slice(start, start + BLOCK) if order is None else order[start : start + BLOCK]
        own = means if place is None else means[place[part]]
        centred = rows[part] - own.astype(np.float32, copy=False)  # (B, r)
        gram = ssyrk(1.0, centred.T, beta=1.0, c=gram, lower=1, overwrite_c=1)
    return gram
