"""Gaussian discriminant analysis joined to the zero-shot classifier.

Source: Wang et al. 2024, section 3.3 (logits of both, added with a weight). The weights are fitted
on the labelled part's folds, not on a validation set.
"""

from __future__ import annotations

import numpy as np

from sports_clip_pipeline.config.finetune import FinetuneConfig
from sports_clip_pipeline.training.methods import gda
from sports_clip_pipeline.training.methods.blending import choose_blend
from sports_clip_pipeline.training.methods.cross_validation import hold_out
from sports_clip_pipeline.training.methods.interface import Fit, Labelled, TextAnchors
from sports_clip_pipeline.training.methods.row_space import RowSpace


def fit(
    labelled: Labelled,
    anchors: TextAnchors,
    config: FinetuneConfig,
    seed: int,
    unlabelled: np.ndarray | None = None,
) -> Fit:
    """GDA and zero-shot; k-fold sets the shrinkage and both weights."""
    space = RowSpace.of(labelled, anchors.scaled(root=True))
    held_out = hold_out(space.rows, lambda rows: gda.solve(rows, config.gda_shrinkage))
    return choose_blend(
        labelled,
        held_out,
        gda.describe,
        lambda name: space.expand(gda.solve(space.rows, (float(name),))[name]),
        anchors.zero_shot_head(),
    )
