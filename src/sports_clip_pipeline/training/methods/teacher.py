"""What the labels alone say of every photograph: the blend of a probe and zero-shot.

Methods that learn from photographs without labels start from it. Each fold has a teacher of its own
that did not see the fold's labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import log_softmax

from sports_clip_pipeline.config.finetune import FinetuneConfig
from sports_clip_pipeline.models.head import Head
from sports_clip_pipeline.training.methods.blending import choose_blend
from sports_clip_pipeline.training.methods.cross_validation import hold_out
from sports_clip_pipeline.training.methods.interface import Fit, Labelled, TextAnchors
from sports_clip_pipeline.training.methods.logreg_blend import solve
from sports_clip_pipeline.training.methods.pool import Pool
from sports_clip_pipeline.training.methods.row_space import RowSpace
from sports_clip_pipeline.training.methods.softmax_regression import principal_axes


@dataclass(frozen=True)
class Teacher:
    """Log-probabilities (N, C) of all photographs of a pool.

    Attributes:
        fit: the blend on all labels.
        spoken: by the same settings without a fold's labels, for each fold; with all, for None.
    """

    fit: Fit
    spoken: Mapping[int | None, np.ndarray]


def teach(pool: Pool, anchors: TextAnchors, config: FinetuneConfig) -> Teacher:
    """`logreg_blend` on the labels, and on those outside each fold with the same settings."""
    labelled = pool.labelled
    space = RowSpace.of(labelled, pool.space.operations)
    axes, energy = principal_axes(space.rows.features)
    space = space.turned(axes)
    probes: dict[int | None, Mapping[str, Head]] = {}

    def without(rows: Labelled) -> Mapping[str, Head]:
        (fold,) = set(pool.folds()) - set(rows.fold.tolist())
        probes[fold] = solve(rows, energy, config.blend_c)
        return probes[fold]

    def on_all(name: str) -> Head:
        probes[None] = solve(space.rows, energy, (float(name),))
        return space.expand(probes[None][name])

    fit = choose_blend(
        labelled,
        hold_out(space.rows, without),
        lambda name: {"c": float(name)},
        on_all,
        anchors.zero_shot_head(),
    )
    name = str(fit.hyperparameters["c"])
    spoken = {fold: _speak(pool, space.expand(found[name]), fit) for fold, found in probes.items()}
    return Teacher(fit, spoken)


def _speak(pool: Pool, probe: Head, fit: Fit) -> np.ndarray:
    """(N, C) log-probabilities of the probe with zero-shot; the probe ends with one affine map."""
    affine = probe.operations[-1]
    logits = fit.hyperparameters["probe_weight"] * affine(pool.columns)
    logits += fit.hyperparameters["zero_shot_weight"] * pool.text
    spoken: np.ndarray = log_softmax(logits, axis=1)
    return spoken
