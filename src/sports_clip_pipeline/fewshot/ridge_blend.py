"""Ridge regression joined to the zero-shot classifier.

Source: Rifkin et al. 2003 (the probe); Wortsman et al. 2022, section 3 (joining it to zero-shot).
The weights are fitted on the labelled part's folds.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from sports_clip_pipeline.config.finetune import FinetuneConfig
from sports_clip_pipeline.fewshot import ridge
from sports_clip_pipeline.fewshot.base import Fit, Labelled, TextAnchors
from sports_clip_pipeline.fewshot.blending import choose_blend
from sports_clip_pipeline.fewshot.probes import Probes


def fit(
    labelled: Labelled,
    anchors: TextAnchors,
    config: FinetuneConfig,
    seed: int,
    unlabelled: np.ndarray | None = None,
) -> Fit:
    """Ridge and zero-shot; k-fold sets α and both weights."""
    probes = Probes.of(labelled, anchors)
    return choose_blend(
        labelled,
        probes.hold_out(ridge.solve, config.ridge_alpha).logits,
        ridge.describe,
        partial(probes.expanded, ridge.solve),
        anchors.zero_shot_head(),
    )
