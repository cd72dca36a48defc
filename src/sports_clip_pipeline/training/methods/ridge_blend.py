"""Ridge regression joined to the zero-shot classifier.

Source: Rifkin et al. 2003 (the probe); Wortsman et al. 2022, section 3 (joining it to zero-shot).
The weights are fitted on the labelled part's folds.
"""

from __future__ import annotations

import numpy as np

from sports_clip_pipeline.config.finetune import FinetuneConfig
from sports_clip_pipeline.training.methods import ridge
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
    """Ridge and zero-shot; k-fold sets α and both weights."""
    space = RowSpace.of(labelled, anchors.scaled(root=True))
    held_out = hold_out(space.rows, lambda rows: ridge.solve(rows, config.ridge_alpha))
    return choose_blend(
        labelled,
        held_out,
        ridge.describe,
        lambda name: space.expand(ridge.solve(space.rows, (float(name),))[name]),
        anchors.zero_shot_head(),
    )
