"""Gaussian discriminant analysis (GDA), and a Gaussian mixture with one covariance fitted by EM."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from pydantic import Field
from scipy.linalg import cho_factor, cho_solve

from sports_clip_pipeline.fewshot.base import Fit, Labelled, Method, Task
from sports_clip_pipeline.fewshot.cross_validation import select_candidate
from sports_clip_pipeline.fewshot.linear import Strengths, add_diagonal, class_means
from sports_clip_pipeline.fewshot.softmax_solver import NEVER
from sports_clip_pipeline.fewshot.subspace import LinearProbes, lower_gram
from sports_clip_pipeline.predictor.head import Head, affine, softmax

PUBLISHED_SHRINKAGE = 1.0
_LEAST = 1e-9
_LEAST_SPREAD = 1e-3


class Gda(Method):
    """GDA: a Gaussian for each class, one covariance for all, a uniform prior; closed form.

    With class means μ and precision P the logits are μ P x − ½ μ P μ. The precision is
    P = D ((N − 1) Σ + s · tr(Σ) I)⁻¹ with s = 1 in the paper; cross-validation chooses s here:
    pooled features are wider and less even than CLIP embeddings.

    Source: Wang et al. 2024, "A Hard-to-Beat Baseline for Training-free CLIP-based Adaptation",
    section 3.2; the estimator is Kubokawa and Srivastava 2008.
    """

    shrinkage: Strengths = Field(
        (1.0, 3.0, 10.0, 30.0, 100.0),
        description="Shrinkage of the covariance, in units of the published one.",
    )

    def fit(self, task: Task) -> Fit:
        """Cross-validation chooses the shrinkage."""
        probes = LinearProbes.of(task)
        return select_candidate(
            task.labelled,
            probes.held_out(solve_gda, self.shrinkage).logits,
            lambda name: {"shrinkage": float(name)},
            partial(probes.expanded, solve_gda),
        )


def solve_gda(rows: Labelled, strengths: Sequence[float]) -> dict[str, Head]:
    """The classifier at each shrinkage s, by its name."""
    means = class_means(rows)  # (C, r)
    scatter = lower_gram(rows.features, means, rows.target)  # (r, r); (N − 1) Σ
    variance = float(np.trace(scatter)) / max(len(rows.target) - 1, 1)  # tr(Σ)
    centre = rows.features.mean(axis=0)  # no difference to the classes' order, smaller numbers
    has_rows = np.bincount(rows.target, minlength=rows.classes) > 0
    apart = np.where(has_rows[:, None], means - centre, 0.0)  # (C, r)
    heads = {}
    for strength in strengths:
        whole = add_diagonal(scatter, max(strength * variance, 1e-9))
        factor = cho_factor(whole, lower=True, overwrite_a=True, check_finite=False)
        weight = cho_solve(factor, apart.T, check_finite=False).T * scatter.shape[0]  # (C, r)
        bias = -0.5 * (weight * apart).sum(axis=1) - weight @ centre
        heads[str(strength)] = Head((affine(weight, np.where(has_rows, bias, NEVER)),))
    return heads


@dataclass(frozen=True)
class MixtureSettings:
    """How the Gaussian mixture is fitted.

    Attributes:
        iterations: of EM.
        beta: inverse temperature of the Gaussian log-likelihoods; below 1, since feature columns
            are no independent evidence.
        prior_strength: factor of the prior classifier's logits.
        shrinkage: of the covariance towards its mean variance, in [0, 1].
        confidence: unlabelled rows are weighted by their top probability to this power.
        label_weight: how many unlabelled rows a labelled one counts as.
        balance_rounds: of Sinkhorn scaling to the class prior; 0 leaves the shares free.
    """

    iterations: int
    beta: float
    prior_strength: float = 1.0
    shrinkage: float = 0.2
    confidence: float = 0.0
    label_weight: float = 1.0
    balance_rounds: int = 20


@dataclass(frozen=True)
class Discriminant:
    """Logits x Wᵀ + b; weight (C, d) float32, bias (C,) float32."""

    weight: np.ndarray
    bias: np.ndarray

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """(N, d) to (N, C)."""
        logits: np.ndarray = rows @ self.weight.T + self.bias
        return logits


@dataclass(frozen=True)
class Mixture:
    """A fitted Gaussian mixture.

    Attributes:
        gaussians: of the last M-step.
        bias: (C,) float64; log of the factor by which the last balancing scaled each class.
        probabilities: (N, C) float64 of the rows it was fitted to; labelled rows one-hot.
    """

    gaussians: Discriminant
    bias: np.ndarray
    probabilities: np.ndarray
    settings: MixtureSettings

    def logits(self, rows: np.ndarray, prior_logits: np.ndarray) -> np.ndarray:
        """(N, C) of rows (N, d), fitted to or new, and the prior classifier's logits (N, C)."""
        likelihood = self.settings.beta * self.gaussians(rows) + self.bias
        total: np.ndarray = likelihood + self.settings.prior_strength * prior_logits
        return total


def balanced(logits: np.ndarray, prior: np.ndarray, rounds: int) -> tuple[np.ndarray, np.ndarray]:
    """Sinkhorn scaling: probabilities whose mean over the rows is a class prior.

    Args:
        logits: (N, C). prior: (C,) > 0 that sums to 1. rounds: >= 0; 0 is the softmax.
    Returns: (N, C) float64 rows that sum to 1, and (C,) the biases that, added to the logits, give
        them by a softmax; they sum to 0.
    Source: Sinkhorn and Knopp 1967; Asano et al. 2020, section 3.1.
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
    """The M-step: class means and one covariance of rows that belong to classes by shares.

    Args:
        rows: (N, d) float32. shares: (N, C) >= 0; a row's weight is the sum of its shares.
        shrinkage: the covariance is (1 − s) Σ + s tr(Σ)/d I.
    A class without rows gets no weight and a bias that is never the greatest. Where no class has a
    second row, a thousandth of the rows' own variance stands for the covariance.
    """
    count = shares.sum(axis=0)  # (C,)
    has_rows = count > _LEAST
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
    bias = np.where(has_rows, -0.5 * (weight * means).sum(axis=1), NEVER)
    weight = np.where(has_rows[:, None], weight, 0.0)
    return Discriminant(weight.astype(np.float32), bias.astype(np.float32))


def fit_mixture(
    rows: np.ndarray,
    prior_logits: np.ndarray,
    class_prior: np.ndarray,
    settings: MixtureSettings,
    known: np.ndarray | None = None,
) -> Mixture:
    """EM from another classifier's probabilities, with a balanced E-step.

    Args:
        rows: (N, d) float32, around their mean.
        prior_logits: (N, C) of the other classifier (zero-shot, or fitted on few labels).
        class_prior: (C,) shares of the classes among the unlabelled rows.
        known: (N,) int; a row's class, or −1. None if no class is known.
    Returns: with every row labelled, the Gaussians of the labels.
    Source: Zanella et al. 2024 (TransCLIP), sections 3.1-3.3, for EM with a Kullback-Leibler term;
        Grandvalet and Bengio 2004, section 3, for labelled and unlabelled rows together.
    """
    known = np.full(len(rows), -1) if known is None else known
    free = known < 0
    shares = np.zeros(prior_logits.shape)
    shares[~free, known[~free]] = 1.0
    start = settings.prior_strength * prior_logits[free]
    shares[free], bias = _assign(start, class_prior, settings)
    for _ in range(settings.iterations if free.any() else 1):
        weight = shares.max(axis=1) ** settings.confidence
        weight[~free] = settings.label_weight
        gaussians = fit_gaussians(rows, shares * weight[:, None], settings.shrinkage)
        logits = settings.beta * gaussians(rows[free]) + start
        shares[free], bias = _assign(logits, class_prior, settings)
    return Mixture(gaussians, bias, shares, settings)


def _assign(
    logits: np.ndarray, class_prior: np.ndarray, settings: MixtureSettings
) -> tuple[np.ndarray, np.ndarray]:
    """The E-step."""
    if not len(logits) or not settings.balance_rounds:
        return softmax(logits), np.zeros(logits.shape[1])
    return balanced(logits, class_prior, settings.balance_rounds)
