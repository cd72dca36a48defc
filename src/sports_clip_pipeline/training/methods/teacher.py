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
from sports_clip_pipeline.predictor.head import Head
from sports_clip_pipeline.training.methods.interface import Fit, TextAnchors
from sports_clip_pipeline.training.methods.logreg_blend import choose_probe, solve
from sports_clip_pipeline.training.methods.pool import Pool
from sports_clip_pipeline.training.methods.probes import Probes


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
    probes = Probes.of(pool.labelled, anchors)
    fit = choose_probe(probes, anchors, config)
    name = str(fit.hyperparameters["c"])
    heads: dict[int | None, Head] = {None: probes.fit(solve, name)}
    for fold, candidates in probes.hold_out(solve, config.blend_c).without.items():
        heads[fold] = candidates[name]
    space = probes.space
    return Teacher(fit, {fold: _speak(pool, space.expand(h), fit) for fold, h in heads.items()})


def _speak(pool: Pool, probe: Head, fit: Fit) -> np.ndarray:
    """(N, C) log-probabilities of the probe with zero-shot; the probe ends with one affine map."""
    affine = probe.operations[-1]
    logits = fit.hyperparameters["probe_weight"] * affine(pool.columns)
    logits += fit.hyperparameters["zero_shot_weight"] * pool.text
    spoken: np.ndarray = log_softmax(logits, axis=1)
    return spoken
