"""CLAP: a linear probe held near the text, each class as firmly as zero-shot deserves.

Logits are s · cos(x, w). Beside the mean cross-entropy stands the mean over classes of
λ_c ‖w_c − t_c‖², with t_c the text anchor and λ_c the mean probability that the zero-shot
classifier gives the labelled photographs of class c. The search starts at the text. Nothing is
chosen: all settings are the method's own.

Source: Silva-Rodríguez et al. 2024, "A Closer Look at the Few-Shot Adaptation of Large
Vision-Language Models", section 4; the mean over classes is that of the authors' code. Here L-BFGS
stands in for 300 epochs of SGD.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize

from sports_clip_pipeline.clip.projections import unit_norm
from sports_clip_pipeline.config.finetune import FinetuneConfig
from sports_clip_pipeline.predictor.head import Head, softmax
from sports_clip_pipeline.training.methods.cross_validation import choose_by_folds, log_loss
from sports_clip_pipeline.training.methods.interface import Fit, Labelled, TextAnchors
from sports_clip_pipeline.training.methods.row_space import RowSpace, affine

_MAX_ITERATIONS = 100
_TOLERANCE = 1e-5


def fit(
    labelled: Labelled,
    anchors: TextAnchors,
    config: FinetuneConfig,
    seed: int,
    unlabelled: np.ndarray | None = None,
) -> Fit:
    """Cosine prototypes around the text anchors; the temperature is all that k-fold sets."""
    embed = anchors.embed()
    rows = Labelled(
        Head(embed)(labelled.features), labelled.target, labelled.fold, labelled.classes
    )

    def fit_all(part: Labelled) -> dict[str, Head]:
        firmness = zero_shot_trust(part, anchors.anchors, anchors.logit_scale)
        prototypes = solve(part, anchors.anchors, anchors.logit_scale, firmness)
        return {"clap": _cosines(prototypes, anchors.logit_scale)}

    found = choose_by_folds(rows, fit_all, lambda name: {})
    return RowSpace(embed, None, rows).expand_fit(found)


def zero_shot_trust(rows: Labelled, text: np.ndarray, scale: float) -> np.ndarray:
    """(C,) mean zero-shot probability of the true class over the rows of each class.

    A class without rows is trusted fully.
    """
    own = softmax(rows.features @ text.T * scale)[np.arange(len(rows.target)), rows.target]
    counts = np.bincount(rows.target, minlength=len(text))
    sums = np.bincount(rows.target, weights=own, minlength=len(text))
    return np.where(counts > 0, sums / np.maximum(counts, 1), 1.0)


def solve(rows: Labelled, text: np.ndarray, scale: float, firmness: np.ndarray) -> np.ndarray:
    """Prototypes (C, P) near the text that classify the rows.

    Args:
        rows: features (n, P) unit-norm. text: (C, P) unit-norm. firmness: (C,) λ.
    """
    found = minimize(
        lambda flat: objective(flat.reshape(text.shape), rows, text, scale, firmness),
        text.astype(np.float64).ravel(),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": _MAX_ITERATIONS, "ftol": _TOLERANCE},
    )
    return found.x.reshape(text.shape)


def objective(
    prototypes: np.ndarray,
    rows: Labelled,
    text: np.ndarray,
    scale: float,
    firmness: np.ndarray,
) -> tuple[float, np.ndarray]:
    """Mean cross-entropy + mean over classes of λ ‖w − t‖², and its gradient, flat."""
    norms = np.linalg.norm(prototypes, axis=1, keepdims=True)
    unit = prototypes / norms
    logits = (rows.features @ unit.T.astype(rows.features.dtype)) * scale  # (n, C)
    apart = prototypes - text
    loss = log_loss(logits, rows.target) + float((firmness * (apart**2).sum(axis=1)).mean())
    error = softmax(logits)
    error[np.arange(len(rows.target)), rows.target] -= 1.0
    error *= scale / len(rows.target)
    slope = error.T.astype(rows.features.dtype) @ rows.features  # (C, P), by the unit prototypes
    along = (slope * unit).sum(axis=1, keepdims=True)
    gradient = (slope - along * unit) / norms + 2.0 * firmness[:, None] * apart / len(text)
    return loss, gradient.ravel()


def _cosines(prototypes: np.ndarray, scale: float) -> Head:
    weight = unit_norm(prototypes) * scale
    return Head((affine(weight, np.zeros(len(weight))),))
