"""Logistic regression on rooted features of all towers, joined to the zero-shot classifier.

The probe learns what the labels say, the text what the class names say; each errs elsewhere.

Source: Radford et al. 2021, section 3.2 (the probe); Wortsman et al. 2022, section 3 (what is
gained by joining it to the zero-shot classifier); Arandjelović and Zisserman 2012 (the root).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from sports_clip_pipeline.config.finetune import FinetuneConfig
from sports_clip_pipeline.predictor.head import Head
from sports_clip_pipeline.training.methods.blending import choose_blend
from sports_clip_pipeline.training.methods.interface import Fit, Labelled, TextAnchors
from sports_clip_pipeline.training.methods.probes import Probes
from sports_clip_pipeline.training.methods.row_space import affine
from sports_clip_pipeline.training.methods.softmax_regression import Problem

TOLERANCE = 1e-3


def fit(
    labelled: Labelled,
    anchors: TextAnchors,
    config: FinetuneConfig,
    seed: int,
    unlabelled: np.ndarray | None = None,
) -> Fit:
    """The probe and zero-shot; k-fold sets the probe's strength and both weights."""
    return choose_probe(Probes.of(labelled, anchors), anchors, config)


def choose_probe(probes: Probes, anchors: TextAnchors, config: FinetuneConfig) -> Fit:
    """The probe that does best beside zero-shot, and both weights."""
    return choose_blend(
        probes.labelled,
        probes.hold_out(solve, config.blend_c).logits,
        lambda name: {"c": float(name)},
        partial(probes.expanded, solve),
        anchors.zero_shot_head(),
    )


def solve(rows: Labelled, strengths: Sequence[float]) -> dict[str, Head]:
    """One classifier for each inverse penalty, by its name; each starts from the one before.

    Args:
        rows: in principal axes, or in the axes of more rows than these.
    """
    mean = rows.features.mean(axis=0)
    centred = rows.features - mean
    energy = np.einsum("nd,nd->d", centred, centred)
    problem = Problem(centred, rows.target, rows.classes, energy)
    heads, solution = {}, None
    for c in sorted(strengths):
        solution = problem.solve(c, TOLERANCE, solution)
        bias = solution.bias - solution.weight @ mean
        heads[str(c)] = Head((affine(solution.weight, bias),))
    return heads
