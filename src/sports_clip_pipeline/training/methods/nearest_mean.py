"""Cosine to the mean of each class: what the features know without any fitting.

Source: Snell et al. 2017, section 2.3 (prototypes), with cosines as in Mensink et al. 2013.
"""

from __future__ import annotations

import numpy as np

from sports_clip_pipeline.clip.projections import unit_norm
from sports_clip_pipeline.config.finetune import FinetuneConfig
from sports_clip_pipeline.predictor.head import Head
from sports_clip_pipeline.training.methods.cross_validation import choose_by_folds
from sports_clip_pipeline.training.methods.interface import Fit, Labelled, TextAnchors
from sports_clip_pipeline.training.methods.row_space import RowSpace, affine


def fit(
    labelled: Labelled,
    anchors: TextAnchors,
    config: FinetuneConfig,
    seed: int,
    unlabelled: np.ndarray | None = None,
) -> Fit:
    """Class means of unit-norm rows; the temperature is all that k-fold sets."""
    space = RowSpace.of(labelled, anchors.scaled(root=True))
    found = choose_by_folds(space.rows, lambda rows: {"means": _means(rows)}, lambda name: {})
    return space.expand_fit(found)


def _means(rows: Labelled) -> Head:
    means = unit_norm(class_means(rows))  # (C, r)
    return Head((affine(means, np.zeros(len(means))),))


def class_means(rows: Labelled) -> np.ndarray:
    """(C, r) mean of each class's rows; zeros for a class without any."""
    truth = np.eye(rows.classes, dtype=np.float32)[rows.target]  # (n, C)
    counts = np.maximum(truth.sum(axis=0), 1.0)
    means: np.ndarray = truth.T @ rows.features / counts[:, None]
    return means
