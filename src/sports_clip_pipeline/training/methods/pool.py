"""Labelled photographs and those without labels, side by side in the same axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sports_clip_pipeline.predictor.head import Head
from sports_clip_pipeline.training.gram import BLOCK
from sports_clip_pipeline.training.methods.interface import Labelled, TextAnchors
from sports_clip_pipeline.training.principal import PrincipalSpace

# Photographs of every class that the shares among the labels are mixed with.
_PRIOR_COUNT = 5.0


@dataclass(frozen=True)
class Pool:
    """N = n + U photographs, the n labelled ones first.

    Attributes:
        labelled: as the arm got them.
        columns: (N, D) float32 scaled features. text: (N, C) zero-shot logits.
        space: principal axes of the columns. rows: (N, d) float32 in them.
    """

    labelled: Labelled
    columns: np.ndarray
    text: np.ndarray
    space: PrincipalSpace
    rows: np.ndarray

    @classmethod
    def of(
        cls, labelled: Labelled, anchors: TextAnchors, unlabelled: np.ndarray | None, width: int
    ) -> Pool:
        """Both kinds of photographs in at most `width` axes; `unlabelled` (U, D₀) may be None."""
        parts = [labelled.features] if unlabelled is None else [labelled.features, unlabelled]
        operations = anchors.scaled(root=True)
        columns = _scaled(parts, Head(operations))
        text = np.concatenate([anchors.zero_shot_head()(part) for part in parts])
        space = PrincipalSpace.of(columns, operations, width)
        return cls(labelled, columns, text, space, space.rows(columns))

    def folds(self) -> list[int]:
        """The folds, in order."""
        return [int(fold) for fold in np.unique(self.labelled.fold[self.labelled.fold >= 0])]

    def known(self, fold: int | None = None) -> np.ndarray:
        """(N,) int; the class of a labelled row outside the fold, −1 for all others."""
        known = np.full(len(self.rows), -1)
        known[: len(self.labelled.target)] = self.labelled.target
        known[self.held_out(fold)] = -1
        return known

    def seen(self, fold: int | None = None) -> np.ndarray:
        """(N,) bool; everything but the photographs of the fold."""
        seen = np.ones(len(self.rows), dtype=bool)
        seen[self.held_out(fold)] = False
        return seen

    def held_out(self, fold: int | None) -> np.ndarray:
        """Positions of the fold's photographs; none for None."""
        if fold is None:
            return np.zeros(0, dtype=int)
        return np.flatnonzero(self.labelled.fold == fold)

    def prior(self, fold: int | None = None) -> np.ndarray:
        """(C,) shares of the classes among the labels outside the fold, drawn to even ones."""
        known = self.known(fold)
        count = np.bincount(known[known >= 0], minlength=self.labelled.classes) + _PRIOR_COUNT
        return count / count.sum()


def _scaled(parts: Sequence[np.ndarray], head: Head) -> np.ndarray:
    """What the head makes of all parts, one below the other, in slices: they are large."""
    columns, start = None, 0
    for part in parts:
        for first in range(0, len(part), BLOCK):
            made = head(part[first : first + BLOCK])
            if columns is None:
                columns = np.empty((sum(map(len, parts)), made.shape[1]), made.dtype)
            columns[start : start + len(made)] = made
            start += len(made)
    assert columns is not None
    return columns
