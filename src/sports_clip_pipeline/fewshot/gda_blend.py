"""Gaussian discriminant analysis joined to the zero-shot classifier.

Source: Wang et al. 2024, section 3.3 (logits of both, added with a weight). The weights are fitted
on the labelled part's folds, not on a validation set.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from sports_clip_pipeline.config.finetune import FinetuneConfig
from sports_clip_pipeline.fewshot import gda
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
    """GDA and zero-shot; k-fold sets the shrinkage and both weights."""
    probes = Probes.of(labelled, anchors)
    return choose_blend(
        labelled,
        probes.hold_out(gda.solve, config.gda_shrinkage).logits,
        gda.describe,
        partial(probes.expanded, gda.solve),
        anchors.zero_shot_head(),
    )
