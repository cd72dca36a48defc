"""Gaussian discriminant analysis: a Gaussian for each class, one covariance for all.

With class means μ and precision P the logits are μ P x − ½ μ P μ: a linear classifier in closed
form, with a uniform prior. The precision is the paper's, whose shrinkage keeps it whole when rows
are fewer than columns: P = D ((N − 1) Σ + s · tr(Σ) I)⁻¹ with s = 1 there; k-fold chooses s here,
since pooled tower features are wider and less even than CLIP embeddings.

Source: Wang et al. 2024, "A Hard-to-Beat Baseline for Training-free CLIP-based Adaptation",
section 3.2; the estimator is Kubokawa and Srivastava 2008.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from sports_clip_pipeline.config.finetune import FinetuneConfig
from sports_clip_pipeline.predictor.head import Head
from sports_clip_pipeline.training.gram import lower_gram
from sports_clip_pipeline.training.methods.cross_validation import keep_best
from sports_clip_pipeline.training.methods.interface import Fit, Labelled, TextAnchors
from sports_clip_pipeline.training.methods.nearest_mean import class_means
from sports_clip_pipeline.training.methods.probes import Probes
from sports_clip_pipeline.training.methods.ridge import shifted
from sports_clip_pipeline.training.methods.row_space import affine
from sports_clip_pipeline.training.methods.softmax_regression import NEVER

PUBLISHED = 1.0


def fit(
    labelled: Labelled,
    anchors: TextAnchors,
    config: FinetuneConfig,
    seed: int,
    unlabelled: np.ndarray | None = None,
) -> Fit:
    """Shared-covariance Gaussians on unit-norm rows; k-fold chooses the shrinkage."""
    probes = Probes.of(labelled, anchors)
    held_out = probes.hold_out(solve, config.gda_shrinkage).logits
    return keep_best(labelled, held_out, describe, partial(probes.expanded, solve))


def describe(name: str) -> dict[str, float]:
    """The hyper-parameters of a candidate."""
    return {"shrinkage": float(name)}


def solve(rows: Labelled, strengths: Sequence[float]) -> dict[str, Head]:
    """The classifier at each strength s of the shrinkage, by its name."""
    means = class_means(rows)  # (C, r)
    scatter = lower_gram(rows.features, means, rows.target)  # (r, r); (N − 1) Σ
    variance = float(np.trace(scatter)) / max(len(rows.target) - 1, 1)  # tr(Σ)
    centre = rows.features.mean(axis=0)  # no difference to the classes' order, smaller numbers
    seen = np.bincount(rows.target, minlength=rows.classes) > 0
    apart = np.where(seen[:, None], means - centre, 0.0)  # (C, r)
    heads = {}
    for strength in strengths:
        whole = shifted(scatter, max(strength * variance, 1e-9))
        factor = cho_factor(whole, lower=True, overwrite_a=True, check_finite=False)
        weight = cho_solve(factor, apart.T, check_finite=False).T * scatter.shape[0]  # (C, r)
        bias = -0.5 * (weight * apart).sum(axis=1) - weight @ centre
        heads[str(strength)] = Head((affine(weight, np.where(seen, bias, NEVER)),))
    return heads
