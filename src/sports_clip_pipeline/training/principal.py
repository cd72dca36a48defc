"""Photographs in the principal axes of their features, and the way back to pooled features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from scipy.linalg import eigh

from sports_clip_pipeline.predictor.head import Head, Operation
from sports_clip_pipeline.training.gram import BLOCK, lower_gram

# A covariance wants several rows for each of its dimensions; with fewer, a mixture confirms
# whatever it started from.
ROWS_PER_AXIS = 7
# Mean, axes and energy of the rows that were seen last, by their content and the width.
_LAST: dict[tuple[bytes, int], tuple[np.ndarray, np.ndarray, np.ndarray]] = {}


@dataclass(frozen=True)
class PrincipalSpace:
    """The first axes around the mean, largest variance first.

    Attributes:
        operations: pooled features (N, D₀) to the D columns that the axes are of.
        mean: (D,) float32. axes: (D, d) float32, orthonormal columns.
        energy: (d,) float32; the rows' sum of squares along each axis.
    """

    operations: tuple[Operation, ...]
    mean: np.ndarray
    axes: np.ndarray
    energy: np.ndarray

    @classmethod
    def of(cls, columns: np.ndarray, operations: Sequence[Operation], width: int) -> PrincipalSpace:
        """At most `width` axes of columns (N, D) float32; no more than D, or one for 7 rows.

        The arms of a study differ in which photographs are labelled, not in which there are, so the
        axes of the last ones are remembered. They are computed from the rows in the order of
        their content: who comes first in a process changes no bit.
        """
        digests = [blake2b(row, digest_size=16).digest() for row in np.ascontiguousarray(columns)]
        order = sorted(range(len(digests)), key=digests.__getitem__)
        key = (b"".join(digests[row] for row in order), width)
        if key not in _LAST:
            _LAST.clear()
            _LAST[key] = _axes(columns, np.array(order), width)
        return cls(tuple(operations), *_LAST[key])

    def rows(self, columns: np.ndarray) -> np.ndarray:
        """Columns (N, D) to coordinates (N, d)."""
        starts = range(0, max(len(columns), 1), BLOCK)
        blocks = [(columns[i : i + BLOCK] - self.mean) @ self.axes for i in starts]
        return np.concatenate(blocks)

    def head(self, weight: np.ndarray, bias: np.ndarray) -> Head:
        """Logits weight (C, d), bias (C,) of coordinates, as a head on pooled features."""
        wide = (weight @ self.axes.T).astype(np.float32)  # (C, D)
        arrays = {"weight": wide, "bias": (bias - wide @ self.mean).astype(np.float32)}
        return Head((*self.operations, Operation("affine", arrays)))


def _axes(
    columns: np.ndarray, order: np.ndarray, width: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean (D,), axes (D, d) and energy (d,) of columns (N, D), added up in that order."""
    blocks = np.array_split(order, -(-len(order) // BLOCK))
    total = np.sum([columns[block].sum(axis=0, dtype=np.float64) for block in blocks], axis=0)
    mean = (total / len(order)).astype(np.float32)
    gram = lower_gram(columns, mean, order=order)  # (D, D)
    kept = max(min(width, len(columns) // ROWS_PER_AXIS, len(gram)), 1)
    energy, axes = eigh(
        gram,
        lower=True,
        subset_by_index=[len(gram) - kept, len(gram) - 1],
        overwrite_a=True,
        check_finite=False,
    )
    return mean, np.ascontiguousarray(axes[:, ::-1]), np.maximum(energy[::-1], 0.0)
