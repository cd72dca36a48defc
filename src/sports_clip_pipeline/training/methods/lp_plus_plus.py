"""LP++: a linear probe and a multiplier of each class's text logit, learned together.

Logits are x wₖ + bₖ + αₖ tₖ, with tₖ the zero-shot logit. The joint cross-entropy is convex; the
paper descends on it block by block for a fixed number of steps, which also regularises. Here it is
solved, with an L2 penalty on w whose strength k-fold chooses, and a weak pull of the multipliers to
their common start.

Source: Huang et al. 2024, "LP++: A Surprisingly Strong Linear Probe for Few-Shot CLIP", section 3.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sports_clip_pipeline.config.finetune import FinetuneConfig
from sports_clip_pipeline.predictor.head import Head
from sports_clip_pipeline.training.methods.cross_validation import choose_by_folds, fit_temperature
from sports_clip_pipeline.training.methods.interface import Fit, Labelled, TextAnchors
from sports_clip_pipeline.training.methods.probes import Probes
from sports_clip_pipeline.training.methods.row_space import affine
from sports_clip_pipeline.training.methods.softmax_regression import Problem

_TOLERANCE = 1e-3


def fit(
    labelled: Labelled,
    anchors: TextAnchors,
    config: FinetuneConfig,
    seed: int,
    unlabelled: np.ndarray | None = None,
) -> Fit:
    """Probe and multipliers; k-fold chooses the strength of the probe."""
    probes = Probes.of(labelled, anchors)
    zero_shot = anchors.zero_shot_head()
    space = probes.space.beside_outputs(zero_shot, zero_shot(labelled.features))

    def fit_all(rows: Labelled, strengths: Sequence[float] = config.lp_c) -> dict[str, Head]:
        return solve(rows, probes.energy, strengths, config.lp_pull)

    found = choose_by_folds(
        space.rows,
        fit_all,
        lambda name: {"c": float(name)},
        lambda name: fit_all(space.rows, (float(name),))[name],
    )
    return space.expand_fit(found)


def solve(
    rows: Labelled, energy: np.ndarray, strengths: Sequence[float], pull: float
) -> dict[str, Head]:
    """A head on [columns, text logits] for each inverse penalty, by its name.

    Args:
        rows: features (n, r + C), the text logits last.
        energy: (r,) sum of squares of the rows along each column.
        pull: penalty on the multipliers' distance from the inverse temperature of the text logits.
    """
    columns, text = np.split(rows.features, [len(energy)], axis=1)
    mean = columns.mean(axis=0)
    centre = 1.0 / fit_temperature(text, rows.target)
    problem = Problem(columns - mean, rows.target, rows.classes, energy, text, centre, pull)
    heads, found = {}, None
    for c in sorted(strengths):
        found = problem.solve(c, _TOLERANCE, found)
        weight = np.hstack([found.weight, np.diag(found.multiplier)])  # (C, r + C)
        heads[str(c)] = Head((affine(weight, found.bias - found.weight @ mean),))
    return heads
