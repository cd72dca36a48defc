"""Logistic regression on rooted features of all towers, joined to the zero-shot classifier.

The probe learns what the labels say, the text what the class names say; each errs elsewhere.

Source: Radford et al. 2021, section 3.2 (the probe); Wortsman et al. 2022, section 3 (what is
gained by joining it to the zero-shot classifier); Arandjelović and Zisserman 2012 (the root).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sports_clip_pipeline.config.finetune import FinetuneConfig
from sports_clip_pipeline.models.head import Head
from sports_clip_pipeline.training.methods.blending import choose_blend
from sports_clip_pipeline.training.methods.cross_validation import hold_out
from sports_clip_pipeline.training.methods.interface import Fit, Labelled, TextAnchors
from sports_clip_pipeline.training.methods.row_space import RowSpace, affine
from sports_clip_pipeline.training.methods.softmax_regression import Problem, principal_axes

TOLERANCE = 1e-3


def fit(
    labelled: Labelled,
    anchors: TextAnchors,
    config: FinetuneConfig,
    seed: int,
    unlabelled: np.ndarray | None = None,
) -> Fit:
    """The probe and zero-shot; k-fold sets the probe's strength and both weights."""
    space = RowSpace.of(labelled, anchors.scaled(root=True))
    axes, energy = principal_axes(space.rows.features)
    space = space.turned(axes)
    return choose_blend(
        labelled,
        hold_out(space.rows, lambda rows: solve(rows, energy, config.blend_c)),
        lambda name: {"c": float(name)},
        lambda name: space.expand(solve(space.rows, energy, (float(name),))[name]),
        anchors.zero_shot_head(),
    )


def solve(rows: Labelled, energy: np.ndarray, strengths: Sequence[float]) -> dict[str, Head]:
    """One classifier for each inverse penalty, by its name; each starts from the one before.

    Args:
        energy: (r,) sum of squares of the rows along each column.
    """
    mean = rows.features.mean(axis=0)
    problem = Problem(rows.features - mean, rows.target, rows.classes, energy)
    heads, solution = {}, None
    for c in sorted(strengths):
        solution = problem.solve(c, TOLERANCE, solution)
        bias = solution.bias - solution.weight @ mean
        heads[str(c)] = Head((affine(solution.weight, bias),))
    return heads
