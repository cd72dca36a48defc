"""Principal axes and row spaces: features in as few orthonormal columns as a fit needs.

The solution of a linear probe, a discriminant or a key cache lies in the span of its rows, of
min(n, D) dimensions: with few labels the fits run in a small basis of it, at no loss.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import blake2b
from typing import Self

import numpy as np
from scipy.linalg import eigh, qr
from scipy.linalg.blas import ssyrk

from sports_clip_pipeline.fewshot.base import Fit, Labelled, Task
from sports_clip_pipeline.fewshot.cross_validation import (
    Heads,
    Setting,
    held_out_logits,
    select_candidate,
)
from sports_clip_pipeline.predictor.head import Head, Operation, add, affine

BLOCK = 1024
# A covariance needs several rows for each dimension; with fewer, a mixture confirms its start.
ROWS_PER_AXIS = 7
# Mean and axes of the last rows, by their content and the width.
_LAST: dict[tuple[bytes, int], tuple[np.ndarray, np.ndarray]] = {}
# Fits a head on the rows for each value of a hyper-parameter, by the tuple of the value.
Solve = Callable[[Labelled, Sequence[float]], Heads]


def lower_gram(
    rows: np.ndarray,
    means: np.ndarray,
    group: np.ndarray | None = None,
    order: np.ndarray | None = None,
) -> np.ndarray:
    """Σ (x − m)(x − m)ᵀ over the rows, without a centred copy of all of them.

    Args:
        rows: (n, r) float32. means: (r,) of all rows, or (C, r) of each group (n,).
        order: (n,) int; rows are added up in this order, which the last bits depend on.
    Returns: (r, r) float32 in Fortran order; the lower triangle alone is filled.
    """
    gram = np.zeros((rows.shape[1],) * 2, dtype=np.float32, order="F")
    for start in range(0, len(rows), BLOCK):
        block = slice(start, start + BLOCK) if order is None else order[start : start + BLOCK]
        own = means if group is None else means[group[block]]
        centred = rows[block] - own.astype(np.float32, copy=False)  # (B, r)
        gram = ssyrk(1.0, centred.T, beta=1.0, c=gram, lower=1, overwrite_c=1)
    return gram


def principal_axes(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Principal axes (r, r) of rows around their mean, as columns, and the energy (r,) of each."""
    gram = lower_gram(rows, rows.mean(axis=0))
    energy, axes = eigh(gram, lower=True, overwrite_a=True, check_finite=False, driver="evd")
    return axes, np.maximum(energy, 0.0)


@dataclass(frozen=True)
class RowSpace:
    """The labelled rows in an orthonormal basis of their span, and the way back.

    Attributes:
        operations: pooled features to the D columns of the method's space.
        basis: (D, r) float32 orthonormal; None where the columns are unchanged (r = D).
        beside: a head whose B outputs stand after the columns of the rows, (n, r + B).
    """

    operations: tuple[Operation, ...]
    basis: np.ndarray | None
    rows: Labelled
    beside: Head | None = None

    @classmethod
    def of(cls, labelled: Labelled, operations: Sequence[Operation]) -> Self:
        """The space that the labelled rows span after the operations."""
        columns = Head(tuple(operations))(labelled.features)  # (n, D)
        basis = None
        if len(columns) < columns.shape[1]:
            basis = qr(columns.T, mode="economic", check_finite=False)[0]
            columns = columns @ basis
        rows = replace(labelled, features=np.ascontiguousarray(columns))
        return cls(tuple(operations), basis, rows)

    def beside_outputs(self, head: Head, pooled: np.ndarray) -> Self:
        """The same rows with a head's outputs (n, B) on their pooled features after the columns."""
        features = np.hstack([self.rows.features, head(pooled)])
        return replace(self, rows=replace(self.rows, features=features), beside=head)

    def rotated(self, axes: np.ndarray) -> Self:
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
        """A head on the rows' columns, its first operation affine, as one on pooled features."""
        first, rest = head.operations[0], head.operations[1:]
        weight, bias = first.arrays["weight"], first.arrays["bias"]
        own = weight[:, : self.width]
        wide = own if self.basis is None else own @ self.basis.T  # (Out, D)
        probe = Head((*self.operations, affine(wide, bias)))
        if self.beside is None or weight.shape[1] == self.width:
            return Head((*probe.operations, *rest))
        other = affine(weight[:, self.width :])
        return Head((add(probe, Head((*self.beside.operations, other))), *rest))

    def expand_fit(self, fit: Fit) -> Fit:
        """The fit with its head on pooled features."""
        return replace(fit, head=self.expand(fit.head))


@dataclass(frozen=True)
class LinearProbes:
    """Linear probes in the principal axes of the labelled rows, cached for all methods.

    Attributes:
        space: the rows, rooted and scaled, in their principal axes, and the way back.
        energy: (r,) sum of squares of the rows along each axis, around their mean.
        scaling: the name of the method's feature space.
    """

    labelled: Labelled
    space: RowSpace
    energy: np.ndarray
    scaling: str

    @classmethod
    def of(cls, task: Task) -> Self:
        """The axes of the labelled rows in the method's own space."""
        labelled, scaling = task.labelled, task.pretrained.space

        def compute() -> tuple[RowSpace, np.ndarray]:
            space = RowSpace.of(labelled, task.pretrained.scaled(root=True))
            axes, energy = principal_axes(space.rows.features)
            return space.rotated(axes), energy

        return cls(labelled, *labelled.cache.get(("axes", scaling), compute), scaling)

    def held_out(
        self, solve: Solve, values: Sequence[float]
    ) -> tuple[dict[Setting, np.ndarray], dict[int, Heads]]:
        """Held-out logits (n, C) of every candidate, and the heads fitted without each fold."""
        folds = set(self.labelled.fold[self.labelled.fold >= 0].tolist())

        def compute() -> tuple[dict[Setting, np.ndarray], dict[int, Heads]]:
            without: dict[int, Heads] = {}

            def fit_all(rows: Labelled) -> Heads:
                (fold,) = folds - set(rows.fold.tolist())
                without[fold] = solve(rows, values)
                return without[fold]

            return held_out_logits(self.space.rows, fit_all), without

        key = ("held out", self.scaling, solve, tuple(values))
        return self.labelled.cache.get(key, compute)

    def fit(self, solve: Solve, setting: Setting) -> Head:
        """One candidate on all rows, a head on the rows of `space`."""
        key = ("fitted", self.scaling, solve, setting)
        return self.labelled.cache.get(key, lambda: solve(self.space.rows, setting)[setting])

    def refit(self, solve: Solve, setting: Setting) -> Head:
        """One candidate on all rows, a head on pooled features."""
        return self.space.expand(self.fit(solve, setting))

    def select(self, solve: Solve, values: Sequence[float], name: str) -> Fit:
        """The candidate with the least held-out loss; `name` is that of the hyper-parameter."""
        held_out, _ = self.held_out(solve, values)
        refit = partial(self.refit, solve)
        return select_candidate(self.labelled.target, held_out, (name,), refit)


@dataclass(frozen=True)
class PrincipalSpace:
    """The first principal components (PCA), mean (D,) and axes (D, d), largest variance first."""

    operations: tuple[Operation, ...]
    mean: np.ndarray
    axes: np.ndarray

    @classmethod
    def of(cls, columns: np.ndarray, operations: Sequence[Operation], width: int) -> Self:
        """At most `width` axes of columns (N, D) float32; no more than D, or one for 7 rows.

        The last axes are cached for the next trial, which has the same images in another order;
        rows are added up in the order of their content, so that this changes no bit.
        """
        digests = [blake2b(row, digest_size=16).digest() for row in np.ascontiguousarray(columns)]
        order = sorted(range(len(digests)), key=digests.__getitem__)
        key = (b"".join(digests[row] for row in order), width)
        if key not in _LAST:
            _LAST.clear()
            _LAST[key] = _leading_axes(columns, np.array(order), width)
        return cls(tuple(operations), *_LAST[key])

    def rows(self, columns: np.ndarray) -> np.ndarray:
        """Columns (N, D) to coordinates (N, d)."""
        starts = range(0, max(len(columns), 1), BLOCK)
        blocks = [(columns[i : i + BLOCK] - self.mean) @ self.axes for i in starts]
        return np.concatenate(blocks)

    def head(self, weight: np.ndarray, bias: np.ndarray) -> Head:
        """Logits weight (C, d), bias (C,) of coordinates, as a head on pooled features."""
        wide = (weight @ self.axes.T).astype(np.float32)  # (C, D)
        return Head((*self.operations, affine(wide, bias - wide @ self.mean)))


def _leading_axes(
    columns: np.ndarray, order: np.ndarray, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """Mean (D,) and axes (D, d) of columns (N, D), added up in that order."""
    blocks = np.array_split(order, -(-len(order) // BLOCK))
    total = np.sum([columns[block].sum(axis=0, dtype=np.float64) for block in blocks], axis=0)
    mean = (total / len(order)).astype(np.float32)
    gram = lower_gram(columns, mean, order=order)  # (D, D)
    count = max(min(width, len(columns) // ROWS_PER_AXIS, len(gram)), 1)
    last = [len(gram) - count, len(gram) - 1]
    _, axes = eigh(gram, lower=True, subset_by_index=last, overwrite_a=True, check_finite=False)
    return mean, np.ascontiguousarray(axes[:, ::-1])
