"""Multinomial logistic regression on shares of classes instead of labels, with weighted rows.

In principal axes, as `softmax_regression`: the loss's curvature is nearly diagonal there and known
beforehand, so the rescaled problem takes few steps.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize

# Share of a row's weight p (1 − p) that a fitted classifier leaves; it sets the speed alone.
_CURVATURE = 0.01


def fit_shares(
    rows: np.ndarray,
    shares: np.ndarray,
    weight: np.ndarray,
    c: float,
    iterations: int,
    tolerance: float = 1e-3,
) -> tuple[np.ndarray, np.ndarray]:
    """The minimum of c · Σᵢ wᵢ H(qᵢ, softmax(W xᵢ + b)) + ½ ‖W‖², H the cross-entropy.

    Args:
        rows: (N, d) float32 in principal axes, around their mean.
        shares: (N, C) the rows' q, each summing to 1. weight: (N,) w >= 0.
        c: inverse penalty, > 0. iterations: most steps of L-BFGS.
        tolerance: relative decrease of the objective at which to stop.
    Returns: weight (C, d) and bias (C,), float32.
    """
    classes, width = shares.shape[1], rows.shape[1]
    heavy = (c * weight[:, None] * shares).astype(np.float32)  # (N, C)
    row_weight = (c * weight).astype(np.float32)
    energy = np.einsum("nd,nd,n->d", rows, rows, row_weight, optimize=True)
    curvature = np.append(energy, row_weight.sum())
    scale = 1.0 / np.sqrt(_CURVATURE * curvature + np.append(np.ones(width), 1e-6))  # (d + 1,)

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        point = (flat.reshape(classes, -1) * scale).astype(np.float32)
        logits = rows @ point[:, :-1].T + point[:, -1]  # (N, C)
        logits -= logits.max(axis=1, keepdims=True)
        error = np.exp(logits)
        total = error.sum(axis=1)
        loss = float((row_weight * np.log(total)).sum(dtype=np.float64))
        loss -= float((heavy * logits).sum(dtype=np.float64))
        loss += 0.5 * float((point[:, :-1].astype(np.float64) ** 2).sum())
        error *= (row_weight / total)[:, None]
        error -= heavy
        slope = np.hstack([error.T @ rows + point[:, :-1], error.sum(axis=0)[:, None]])
        return loss, (slope * scale).astype(np.float64).ravel()

    found = minimize(
        objective,
        np.zeros(classes * (width + 1)),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": iterations, "ftol": tolerance, "gtol": 1e-8},
    )
    solution = (found.x.reshape(classes, -1) * scale).astype(np.float32)
    return solution[:, :-1], solution[:, -1]
