"""Tip-Adapter: a cache of labelled photographs, asked by similarity, beside zero-shot.

Cache logits are Σ_k exp(−β (1 − x · k)) onehot_k over the keys k. A class's keys are its labelled
rows, or as many centres of them, so that a head stays small when there are many labels.

Source: Zhang et al. 2022, "Tip-Adapter", section 3.1 (β, and α here as the two weights of the
blend). There the search for α and β saw test labels; here both are chosen by folds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sports_clip_pipeline.clip.projections import unit_norm
from sports_clip_pipeline.config.finetune import FinetuneConfig
from sports_clip_pipeline.predictor.head import Head, Operation
from sports_clip_pipeline.training.methods.blending import choose_blend
from sports_clip_pipeline.training.methods.cross_validation import hold_out
from sports_clip_pipeline.training.methods.interface import Fit, Labelled, TextAnchors
from sports_clip_pipeline.training.methods.row_space import RowSpace, affine

_ROUNDS = 8


@dataclass(frozen=True)
class Cache:
    """Keys and the classes they speak for.

    Attributes:
        keys: (K, r) float32 unit-norm.
        owner: (K,) int in [0, classes).
        classes: C.
    """

    keys: np.ndarray
    owner: np.ndarray
    classes: int

    def head(self, sharpness: float) -> Head:
        """Unit-norm rows (N, r) to cache logits (N, C)."""
        votes = np.eye(self.classes, dtype=np.float32)[self.owner].T  # (C, K)
        similarity = affine(self.keys, np.zeros(len(self.keys)))
        affinity = Operation("affinity", {"sharpness": np.asarray(sharpness, dtype=np.float32)})
        return Head((similarity, affinity, affine(votes, np.zeros(self.classes))))


def fit(
    labelled: Labelled,
    anchors: TextAnchors,
    config: FinetuneConfig,
    seed: int,
    unlabelled: np.ndarray | None = None,
) -> Fit:
    """The cache without training; k-fold sets β and the weights of cache and zero-shot."""
    space = RowSpace.of(labelled, anchors.scaled(root=True))

    def fit_all(rows: Labelled) -> dict[str, Head]:
        return heads(build_cache(rows, config.tip_keys_per_class, seed), config.tip_sharpness)

    return choose_blend(
        labelled,
        hold_out(space.rows, fit_all),
        lambda name: {"sharpness": float(name)},
        lambda name: space.expand(fit_all(space.rows)[name]),
        anchors.zero_shot_head(),
    )


def heads(cache: Cache, sharpness: Sequence[float]) -> dict[str, Head]:
    """The cache at each sharpness, by its name."""
    return {str(beta): cache.head(beta) for beta in sharpness}


def build_cache(rows: Labelled, most: int, seed: int) -> Cache:
    """At most `most` keys a class: its rows, or the centres of so many groups of them.

    Args:
        rows: features (n, r) unit-norm.
    """
    rng = np.random.default_rng(seed)
    keys, owner = [], []
    for label in range(rows.classes):
        own = rows.features[rows.target == label]
        centres = own if len(own) <= most else _centres(own, most, rng)
        keys.append(centres)
        owner.extend([label] * len(centres))
    return Cache(np.concatenate(keys), np.asarray(owner, dtype=np.int64), rows.classes)


def _centres(rows: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """(count, r) unit-norm centres of rows (n, r), by spherical k-means from seeded rows.

    Source: Dhillon and Modha 2001.
    """
    centres = rows[rng.permutation(len(rows))[:count]]
    for _ in range(_ROUNDS):
        nearest = (rows @ centres.T).argmax(axis=1)
        member = np.eye(count, dtype=rows.dtype)[nearest]  # (n, count)
        sums = member.T @ rows
        alone = member.sum(axis=0) == 0  # a centre that lost all rows stays
        centres = unit_norm(np.where(alone[:, None], centres, sums))
    return centres
