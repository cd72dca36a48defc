"""Ridge regression of one-hot classes: a linear probe in closed form.

W = (Xᵀ X + α I)⁻¹ Xᵀ Y on centred rows, one Gram matrix for all α.

Source: Rifkin et al. 2003 (regularised least-squares classification).
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
from sports_clip_pipeline.training.methods.probes import Probes
from sports_clip_pipeline.training.methods.row_space import affine


def fit(
    labelled: Labelled,
    anchors: TextAnchors,
    config: FinetuneConfig,
    seed: int,
    unlabelled: np.ndarray | None = None,
) -> Fit:
    """One-hot ridge; k-fold chooses α, for unit-norm rows."""
    probes = Probes.of(labelled, anchors)
    held_out = probes.hold_out(solve, config.ridge_alpha).logits
    return keep_best(labelled, held_out, describe, partial(probes.expanded, solve))


def describe(name: str) -> dict[str, float]:
    """The hyper-parameters of a candidate."""
    return {"alpha": float(name)}


def solve(rows: Labelled, alphas: Sequence[float]) -> dict[str, Head]:
    """The minimum of ‖Y − X Wᵀ − b‖² + α ‖W‖² for each α, by its name."""
    mean = rows.features.mean(axis=0)
    truth = np.eye(rows.classes, dtype=np.float32)[rows.target]  # (n, C)
    share = truth.mean(axis=0)
    gram = lower_gram(rows.features, mean)  # (r, r)
    product = rows.features.T @ (truth - share)  # (r, C); around the mean as well, as Y is
    heads = {}
    for alpha in alphas:
        whole = shifted(gram, alpha)
        factor = cho_factor(whole, lower=True, overwrite_a=True, check_finite=False)
        weight = cho_solve(factor, product, check_finite=False).T  # (C, r)
        heads[str(alpha)] = Head((affine(weight, share - weight @ mean),))
    return heads


def shifted(matrix: np.ndarray, shift: float) -> np.ndarray:
    """A copy of the square matrix with `shift` added to its diagonal."""
    result = matrix.copy(order="K")
    result.flat[:: len(matrix) + 1] += np.float32(shift)
    return result
