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
from sports_clip_pipeline.models.head import Head, Operation, softmax
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

    def fit_all(rows: Labelled) -> dict[str, Head]:
        embeddings = Head(anchors.embed())(rows.features) * anchors.logit_scale
        heads = {}
        weight = anchors.anchors.astype(np.float64)
        for c in sorted(config.text_init_c):
            weight = fit_around(embeddings, rows.target, anchors.anchors, c, start=weight)
            heads[str(c)] = Head((*anchors.embed(), _affine(weight * anchors.logit_scale)))
        return heads

    return choose_by_folds(labelled, fit_all, lambda name: {"c": float(name)})


def fit_around(
    embeddings: np.ndarray,
    target: np.ndarray,
    centre: np.ndarray,
    c: float,
    start: np.ndarray | None = None,
) -> np.ndarray:
    """The weights that minimise c · Σ cross-entropy + ½ ‖W − centre‖².

    Args:
        embeddings: (n, P), scaled. target: (n,) int in [0, C). centre: (C, P). c: > 0.
        start: (C, P) where the search starts; the centre, if not given.
    Returns: (C, P) float64. With c → 0 it is the centre.
    """
    features = embeddings.astype(np.float64)
    prior = centre.astype(np.float64)
    truth = np.eye(len(prior))[target]  # (n, C)

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weight = flat.reshape(prior.shape)
        probabilities = softmax(features @ weight.T)  # (n, C)
        own = probabilities[np.arange(len(target)), target]
        distance = weight - prior
        loss = -c * np.log(np.maximum(own, 1e-300)).sum() + 0.5 * (distance**2).sum()
        gradient = c * (probabilities - truth).T @ features + distance  # (C, P)
        return float(loss), gradient.ravel()

    initial = (prior if start is None else start).ravel()
    options = {"maxiter": 200, "ftol": 1e-7}
    found = minimize(objective, initial, jac=True, method="L-BFGS-B", options=options)
    return found.x.reshape(prior.shape)


def _affine(weight: np.ndarray) -> Operation:
    bias: Sequence[float] = [0.0] * len(weight)
    arrays = {"weight": weight.astype(np.float32), "bias": np.asarray(bias, dtype=np.float32)}
    return Operation("affine", arrays)
