"""Linear probes in the principal axes of the labelled rows, for all methods that draw on them.

The axes, and what a probe says of the folds that it did not see, are wanted by the probe itself, by
its blend with zero-shot, by the committee and by the teacher of those who learn without labels. The
methods of one subset find them again in the memory of its rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sports_clip_pipeline.predictor.head import Head
from sports_clip_pipeline.training.methods.cross_validation import hold_out
from sports_clip_pipeline.training.methods.interface import Labelled, TextAnchors
from sports_clip_pipeline.training.methods.row_space import RowSpace
from sports_clip_pipeline.training.methods.softmax_regression import principal_axes

# Rows in principal axes and the candidates' strengths to their heads, by the strengths' names.
Solve = Callable[[Labelled, Sequence[float]], Mapping[str, Head]]


@dataclass(frozen=True)
class HeldOut:
    """What the candidates of one kind say of rows that they did not see.

    Attributes:
        logits: (n, C) of each candidate, by its name; NaN where a row was not held out.
        without: the candidates fitted without each fold, heads on the probes' rows.
    """

    logits: Mapping[str, np.ndarray]
    without: Mapping[int, Mapping[str, Head]]


@dataclass(frozen=True)
class Probes:
    """The labelled rows, rooted and scaled, in their principal axes.

    Attributes:
        labelled: as the arm got them.
        space: the rows in the axes, and the way back.
        energy: (r,) sum of squares of the rows along each axis, around their mean.
        scaling: the name of the method's space, whose columns the axes are of.
    """

    labelled: Labelled
    space: RowSpace
    energy: np.ndarray
    scaling: str

    @classmethod
    def of(cls, labelled: Labelled, anchors: TextAnchors) -> Probes:
        """The axes of the rows in the method's own space."""

        def make() -> tuple[RowSpace, np.ndarray]:
            space = RowSpace.of(labelled, anchors.scaled(root=True))
            axes, energy = principal_axes(space.rows.features)
            return space.turned(axes), energy

        return cls(labelled, *labelled.memory.once(("axes", anchors.space), make), anchors.space)

    def hold_out(self, solve: Solve, strengths: Sequence[float]) -> HeldOut:
        """Every candidate without each fold."""
        folds = set(self.labelled.fold[self.labelled.fold >= 0].tolist())

        def make() -> HeldOut:
            without: dict[int, Mapping[str, Head]] = {}

            def fit_all(rows: Labelled) -> Mapping[str, Head]:
                (fold,) = folds - set(rows.fold.tolist())
                without[fold] = solve(rows, strengths)
                return without[fold]

            return HeldOut(hold_out(self.space.rows, fit_all), without)

        key = ("held out", self.scaling, solve, tuple(strengths))
        return self.labelled.memory.once(key, make)

    def fit(self, solve: Solve, name: str) -> Head:
        """One candidate on all rows, a head on the rows of `space`."""
        key = ("fitted", self.scaling, solve, name)
        return self.labelled.memory.once(key, lambda: solve(self.space.rows, (float(name),))[name])

    def expanded(self, solve: Solve, name: str) -> Head:
        """One candidate on all rows, a head on pooled features."""
        return self.space.expand(self.fit(solve, name))
