"""Labelled rows in a method's own space, in as few columns as hold them.

A linear probe with an L2 penalty, a shared covariance with shrinkage, a cache of keys: each has its
solution in the span of the rows it saw. n rows of D columns fill min(n, D) dimensions, so with few
labels the fits run in a small orthonormal basis of that span and lose nothing by it; features are
scaled once, not once for each fold and candidate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import qr

from sports_clip_pipeline.predictor.head import Head, Operation, add
from sports_clip_pipeline.training.methods.interface import Fit, Labelled


@dataclass(frozen=True)
class RowSpace:
    """The rows in their own basis, and the way back.

    Attributes:
        operations: pooled features to the D columns of the method's space.
        basis: (D, r) float32 orthonormal; None where the columns are as they came (r = D).
        rows: the labelled rows; features (n, r) float32, or (n, r + B) with those of `beside`.
        beside: a head whose B outputs stand after the columns, or None.
    """

    operations: tuple[Operation, ...]
    basis: np.ndarray | None
    rows: Labelled
    beside: Head | None = None

    @classmethod
    def of(cls, labelled: Labelled, operations: Sequence[Operation]) -> RowSpace:
        """The space that the labelled rows span after the operations."""
        columns = Head(tuple(operations))(labelled.features)  # (n, D)
        basis = None
        if len(columns) < columns.shape[1]:
            basis = qr(columns.T, mode="economic", check_finite=False)[0]
            columns = columns @ basis
        rows = replace(labelled, features=np.ascontiguousarray(columns))
        return cls(tuple(operations), basis, rows)

    def beside_outputs(self, head: Head, outputs: np.ndarray) -> RowSpace:
        """The same rows with a head's outputs (n, B) for them after their columns."""
        features = np.hstack([self.rows.features, outputs])
        return replace(self, rows=replace(self.rows, features=features), beside=head)

    def turned(self, axes: np.ndarray) -> RowSpace:
        """The same columns, with nothing beside them, in other orthonormal axes (r, r)."""
        features = self.rows.features @ axes
        basis = axes if self.basis is None else self.basis @ axes
        return replace(self, basis=basis, rows=replace(self.rows, features=features))

    @property
    def width(self) -> int:
        """r, the columns without those of `beside`."""
        extra = 0 if self.beside is None else self.rows.classes
        return self.rows.features.shape[1] - extra

    def expand(self, head: Head) -> Head:
        """A head on the rows' columns, its first operation affine, as one on pooled features.

        It may leave out what stands beside the columns.
        """
        first, rest = head.operations[0], head.operations[1:]
        weight, bias = first.arrays["weight"], first.arrays["bias"]
        own = weight[:, : self.width]
        wide = own if self.basis is None else own @ self.basis.T  # (Out, D)
        probe = Head((*self.operations, affine(wide, bias)))
        if self.beside is None or weight.shape[1] == self.width:
            return Head((*probe.operations, *rest))
        other = affine(weight[:, self.width :], np.zeros(len(bias)))
        return Head((add(probe, Head((*self.beside.operations, other))), *rest))

    def expand_fit(self, fit: Fit) -> Fit:
        """The fit with its head on pooled features."""
        return replace(fit, head=self.expand(fit.head))


def affine(weight: np.ndarray, bias: np.ndarray) -> Operation:
    """The map x Wᵀ + b with weight (Out, In) and bias (Out,), as an operation."""
    arrays = {"weight": weight.astype(np.float32), "bias": np.asarray(bias, dtype=np.float32)}
    return Operation("affine", arrays)
