"""A Gaussian mixture with one covariance, fitted by EM to photographs without labels.

Each class is a Gaussian, all of one covariance; the mixture is fitted to the photographs while it
is pulled towards what another classifier says of them (zero-shot, or one fitted on a few labels),
and while known labels stay as they are. The E-step is balanced: over the photographs without
labels each class gets its share of a stated prior.

Source: Zanella et al. 2024 (TransCLIP), sections 3.1-3.3, for EM with a Kullback-Leibler pull to
the text's answers; Wang et al. 2024 for the shared covariance; Grandvalet and Bengio 2004,
section 3, for labelled and unlabelled rows in one likelihood; Sinkhorn and Knopp 1967, and Asano
et al. 2020, section 3.1, for the balanced E-step.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from sports_clip_pipeline.predictor.head import softmax

_LEAST = 1e-9
_NEVER = -1e4
_LEAST_SPREAD = 1e-3


@dataclass(frozen=True)
class MixtureSettings:
    """How the mixture is fitted.

    Attributes:
        iterations: of EM.
        sharpness: factor of the Gaussians' log-likelihoods; below 1, since columns of features are
            no independent evidence.
        pull: factor of the other classifier's logits.
        shrinkage: of the covariance towards its mean variance, in [0, 1].
        confidence: rows without a label count by their highest probability to this power.
        label_weight: how many rows without a label a labelled row counts as.
        balance_rounds: of scaling to the prior; 0 leaves the classes' shares free.
    """

    iterations: int
    sharpness: float
    pull: float = 1.0
    shrinkage: float = 0.2
    confidence: float = 0.0
    label_weight: float = 1.0
    balance_rounds: int = 20


@dataclass(frozen=True)
class Discriminant:
    """Logits x Wᵀ + b of Gaussians with one covariance and equal priors.

    Attributes:
        weight: (C, d) float32. bias: (C,) float32.
    """

    weight: np.ndarray
    bias: np.ndarray

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """(N, d) to (N, C)."""
        logits: np.ndarray = rows @ self.weight.T + self.bias
        return logits


@dataclass(frozen=True)
class Mixture:
    """A fitted mixture.

    Attributes:
        gaussians: of the last M-step.
        bias: (C,) float64; log of the factor by which the last balancing scaled each class.
        probabilities: (N, C) float64 of the rows it was fitted to; known rows one-hot.
        settings: it was fitted with.
    """

    gaussians: Discriminant
    bias: np.ndarray
    probabilities: np.ndarray
    settings: MixtureSettings

    def logits(self, rows: np.ndarray, pull_logits: np.ndarray) -> np.ndarray:
        """(N, C) of rows (N, d), seen or not, and what the other classifier says of them (N, C)."""
        shape = self.settings.sharpness * self.gaussians(rows) + self.bias
        total: np.ndarray = shape + self.settings.pull * pull_logits
        return total


def balanced(logits: np.ndarray, prior: np.ndarray, rounds: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities whose mean over the rows is a prior, by Sinkhorn's alternate scaling.

    Args:
        logits: (N, C). prior: (C,) > 0 that sums to 1. rounds: >= 0; 0 is the softmax.
    Returns: (N, C) float64 rows that sum to 1, and (C,) the biases that, added to the logits, give
        them by a softmax; they sum to 0.
    Source: Sinkhorn and Knopp 1967.
    """
    kernel = np.exp(logits - logits.max(axis=1, keepdims=True), dtype=np.float64)
    factor = np.ones(kernel.shape[1])
    for _ in range(rounds):
        share = (kernel / (kernel @ factor)[:, None]).mean(axis=0)  # (C,); times factor, the shares
        factor = prior / np.maximum(share, _LEAST)
    weighed = kernel * factor
    bias = np.log(factor)
    return weighed / weighed.sum(axis=1, keepdims=True), bias - bias.mean()


def fit_gaussians(rows: np.ndarray, shares: np.ndarray, shrinkage: float) -> Discriminant:
    """Class means and one covariance of rows that belong to the classes by shares; the M-step.

    Args:
        rows: (N, d) float32. shares: (N, C) >= 0; what a row's shares sum to is its weight.
        shrinkage: the covariance is (1 − s) Σ + s tr(Σ)/d I.
    A class without any row gets no weight, and a bias that never wins. Where no class has a second
    row, nothing is known of how rows spread about their means: a thousandth of their own spread is
    taken then, which is beyond what rounding leaves of nothing.
    """
    count = shares.sum(axis=0)  # (C,)
    seen = count > _LEAST
    means = (shares.T.astype(rows.dtype) @ rows) / np.maximum(count, _LEAST)[:, None]  # (C, d)
    root = np.sqrt(shares.sum(axis=1)).astype(rows.dtype)
    heavy = rows * root[:, None]
    between = means * np.sqrt(count)[:, None]
    covariance = (heavy.T @ heavy - between.T @ between) / count.sum()  # (d, d)
    spread = float(np.vdot(heavy, heavy)) / count.sum() / len(covariance)  # about the rows' mean
    within = float(np.trace(covariance)) / len(covariance)
    variance = max(within, _LEAST_SPREAD * spread, _LEAST)
    covariance *= 1.0 - shrinkage
    covariance.flat[:: len(covariance) + 1] += max(shrinkage, 1e-6) * variance
    factor = cho_factor(covariance, overwrite_a=True, check_finite=False)
    weight = cho_solve(factor, means.T, check_finite=False).T  # (C, d)
    bias = np.where(seen, -0.5 * (weight * means).sum(axis=1), _NEVER)
    weight = np.where(seen[:, None], weight, 0.0)
    return Discriminant(weight.astype(np.float32), bias.astype(np.float32))


def fit_mixture(
    rows: np.ndarray,
    pull_logits: np.ndarray,
    prior: np.ndarray,
    settings: MixtureSettings,
    known: np.ndarray | None = None,
) -> Mixture:
    """EM from what another classifier says.

    Args:
        rows: (N, d) float32, around their mean.
        pull_logits: (N, C) of the other classifier.
        prior: (C,) shares of the classes among the rows whose class is not known.
        known: (N,) int; a row's class, or −1. None if no class is known.
    Returns: with no row unknown, the Gaussians of the labels.
    """
    known = np.full(len(rows), -1) if known is None else known
    free = known < 0
    shares = np.zeros(pull_logits.shape)
    shares[~free, known[~free]] = 1.0
    start = settings.pull * pull_logits[free]
    shares[free], bias = _assign(start, prior, settings)
    for _ in range(settings.iterations if free.any() else 1):
        weight = shares.max(axis=1) ** settings.confidence
        weight[~free] = settings.label_weight
        gaussians = fit_gaussians(rows, shares * weight[:, None], settings.shrinkage)
        logits = settings.sharpness * gaussians(rows[free]) + start
        shares[free], bias = _assign(logits, prior, settings)
    return Mixture(gaussians, bias, shares, settings)


def _assign(
    logits: np.ndarray, prior: np.ndarray, settings: MixtureSettings
) -> tuple[np.ndarray, np.ndarray]:
    if not len(logits) or not settings.balance_rounds:
        return softmax(logits), np.zeros(logits.shape[1])
    return balanced(logits, prior, settings.balance_rounds)
