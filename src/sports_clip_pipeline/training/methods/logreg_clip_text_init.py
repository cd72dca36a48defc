"""Logistic regression on CLIP embeddings, started from and pulled towards the text prompts.

With logits s · e Wᵀ, the penalty is on W's distance to the text anchors W₀, not to zero: with no
labels the classifier is the zero-shot one, with many it is a plain logistic regression. A convex
problem forgets its start; the pull is what keeps it.

Source: Wortsman et al. 2022, section 3 (zero-shot initialisation); Silva-Rodríguez et al. 2024
(CLAP) for the penalty towards the text prototypes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize

from sports_clip_pipeline.config.finetune import FinetuneConfig
from sports_clip_pipeline.predictor.head import Head, Operation
from sports_clip_pipeline.training.methods.cross_validation import choose_by_folds
from sports_clip_pipeline.training.methods.interface import Fit, Labelled, TextAnchors


def fit(
    labelled: Labelled,
    anchors: TextAnchors,
    config: FinetuneConfig,
    seed: int,
    unlabelled: np.ndarray | None = None,
) -> Fit:
    """Logistic regression around the text anchors; k-fold chooses the strength of the pull."""

    def path(rows: Labelled, strengths: Sequence[float]) -> dict[str, Head]:
        embeddings = Head(anchors.embed())(rows.features) * np.float32(anchors.logit_scale)
        heads = {}
        weight = anchors.anchors.astype(np.float64)
        for c in sorted(strengths):
            weight = fit_around(embeddings, rows.target, anchors.anchors, c, start=weight)
            heads[str(c)] = Head((*anchors.embed(), _affine(weight * anchors.logit_scale)))
        return heads

    return choose_by_folds(
        labelled,
        lambda rows: path(rows, config.text_init_c),
        lambda name: {"c": float(name)},
        lambda name: path(labelled, (float(name),))[name],
    )


def fit_around(
    embeddings: np.ndarray,
    target: np.ndarray,
    centre: np.ndarray,
    c: float,
    start: np.ndarray | None = None,
) -> np.ndarray:
    """The weights that minimise c · Σ cross-entropy + ½ ‖W − centre‖².

    Args:
        embeddings: (n, P), scaled; products are taken in their precision. target: (n,) int in
            [0, C). centre: (C, P). c: > 0.
        start: (C, P) where the search starts; the centre, if not given.
    Returns: (C, P) float64. With c → 0 it is the centre.
    """
    prior = centre.astype(np.float64)
    rows = np.arange(len(target))

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weight = flat.reshape(prior.shape)
        logits = embeddings @ weight.T.astype(embeddings.dtype)  # (n, C)
        logits -= logits.max(axis=1, keepdims=True)
        own = logits[rows, target]
        error = np.exp(logits, out=logits)
        total = error.sum(axis=1)
        distance = weight - prior
        loss = c * (np.log(total) - own).sum(dtype=np.float64) + 0.5 * (distance**2).sum()
        error /= total[:, None]
        error[rows, target] -= 1.0
        gradient = c * (error.T @ embeddings) + distance  # (C, P)
        return float(loss), gradient.ravel()

    initial = (prior if start is None else start).ravel()
    options = {"maxiter": 200, "ftol": 1e-7}
    found = minimize(objective, initial, jac=True, method="L-BFGS-B", options=options)
    return found.x.reshape(prior.shape)


def _affine(weight: np.ndarray) -> Operation:
    bias: Sequence[float] = [0.0] * len(weight)
    arrays = {"weight": weight.astype(np.float32), "bias": np.asarray(bias, dtype=np.float32)}
    return Operation("affine", arrays)
