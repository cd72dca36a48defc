"""Gaussian discriminant analysis (GDA): supervised, by EM, and as transductive zero-shot."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import Field
from scipy.linalg import cho_factor, cho_solve

from sports_clip_pipeline.clip.projections import unit_norm
from sports_clip_pipeline.fewshot.base import Fit, Labelled, Method, Task
from sports_clip_pipeline.fewshot.cross_validation import Heads, fit_temperature
from sports_clip_pipeline.fewshot.linear import Strengths, class_means, solve_shifted
from sports_clip_pipeline.fewshot.softmax_solver import NEVER
from sports_clip_pipeline.fewshot.subspace import LinearProbes, PrincipalSpace, lower_gram
from sports_clip_pipeline.pipelines.zero_shot.config import TransductionConfig
from sports_clip_pipeline.predictor.head import Head, Operation, affine, blend, softmax

PUBLISHED_SHRINKAGE = 1.0
# Settings of `fit_mixture`, as the fields of methods name them.
MIXTURE = {"iterations", "beta", "shrinkage", "confidence", "label_weight", "balance_rounds"}
_MIN_COUNT = 1e-9
_MIN_SPREAD = 1e-3


class Gda(Method):
    """GDA: a Gaussian for each class, one covariance for all, a uniform prior; closed form.

    With class means μ and precision P the logits are μ P x − ½ μ P μ. The precision is
    P = D ((N − 1) Σ + s · tr(Σ) I)⁻¹, with s = 1 in the paper.

    Source: Wang et al. 2024, "A Hard-to-Beat Baseline for Training-free CLIP-based Adaptation",
    section 3.2; the estimator is Kubokawa and Srivastava 2008.
    """

    shrinkage: Strengths = Field(
        (1.0, 3.0, 10.0, 30.0, 100.0),
        description="Shrinkage of the covariance, in units of the published one.",
    )

    def fit(self, task: Task) -> Fit:
        """Cross-validation chooses the shrinkage."""
        return LinearProbes.of(task).select(solve_gda, self.shrinkage, "shrinkage")


def solve_gda(rows: Labelled, strengths: Sequence[float]) -> Heads:
    """The classifier at each shrinkage s."""
    means = class_means(rows)  # (C, r)
    scatter = lower_gram(rows.features, means, rows.target)  # (r, r); (N − 1) Σ
    variance = float(np.trace(scatter)) / max(len(rows.target) - 1, 1)  # tr(Σ)
    centre = rows.features.mean(axis=0)  # no difference to the classes' order, smaller numbers
    has_rows = np.bincount(rows.target, minlength=rows.classes) > 0
    apart = np.where(has_rows[:, None], means - centre, 0.0)  # (C, r)
    heads = {}
    for strength in strengths:
        solution = solve_shifted(scatter, max(strength * variance, 1e-9), apart.T)
        weight = solution.T * len(scatter)  # (C, r)
        bias = -0.5 * (weight * apart).sum(axis=1) - weight @ centre
        heads[(strength,)] = Head((affine(weight, np.where(has_rows, bias, NEVER)),))
    return heads


@dataclass(frozen=True)
class LinearClassifier:
    """Logits x Wᵀ + b + s · t of rows x and another classifier's logits t; W is (C, d)."""

    weight: np.ndarray
    bias: np.ndarray
    prior_strength: float = 0.0

    def __call__(self, rows: np.ndarray, prior_logits: np.ndarray | float = 0.0) -> np.ndarray:
        """(N, d) and (N, C) to (N, C)."""
        return rows @ self.weight.T + self.bias + self.prior_strength * prior_logits


def balanced(logits: np.ndarray, prior: np.ndarray, rounds: int) -> tuple[np.ndarray, np.ndarray]:
    """Sinkhorn scaling: probabilities whose mean over the rows is a class prior.

    Args:
        logits: (N, C). prior: (C,) > 0 that sums to 1. rounds: >= 0; 0 is the softmax.
    Returns: (N, C) float64 rows that sum to 1, and (C,) the biases that, added to the logits, give
        them by a softmax; they sum to 0.
    Source: Sinkhorn and Knopp 1967; Asano et al. 2020, section 3.1.
    """
    if not len(logits) or not rounds:
        return softmax(logits), np.zeros(logits.shape[1])
    kernel = np.exp(logits - logits.max(axis=1, keepdims=True), dtype=np.float64)
    factor = np.ones(kernel.shape[1])
    for _ in range(rounds):
        share = (kernel / (kernel @ factor)[:, None]).mean(axis=0)  # (C,); times factor, the shares
        factor = prior / np.maximum(share, _MIN_COUNT)
    weighted = kernel * factor
    bias = np.log(factor)
    return weighted / weighted.sum(axis=1, keepdims=True), bias - bias.mean()


def fit_gaussians(rows: np.ndarray, shares: np.ndarray, shrinkage: float) -> LinearClassifier:
    """The M-step: class means and one covariance (1 − s) Σ + s tr(Σ)/d I.

    Args: rows: (N, d) float32. shares: (N, C) >= 0 of the rows in the classes.
    A class without rows gets no weight and a bias that is never the greatest. Where no class has a
    second row, a thousandth of the rows' own variance stands for the covariance.
    """
    count = shares.sum(axis=0)  # (C,)
    has_rows = count > _MIN_COUNT
    means = (shares.T.astype(rows.dtype) @ rows) / np.maximum(count, _MIN_COUNT)[:, None]  # (C, d)
    heavy = rows * np.sqrt(shares.sum(axis=1)).astype(rows.dtype)[:, None]
    between = means * np.sqrt(count)[:, None]
    covariance = (heavy.T @ heavy - between.T @ between) / count.sum()  # (d, d)
    spread = float(np.vdot(heavy, heavy)) / count.sum() / len(covariance)  # about the rows' mean
    within = float(np.trace(covariance)) / len(covariance)
    variance = max(within, _MIN_SPREAD * spread, _MIN_COUNT)
    covariance *= 1.0 - shrinkage
    covariance.flat[:: len(covariance) + 1] += max(shrinkage, 1e-6) * variance
    factor = cho_factor(covariance, overwrite_a=True, check_finite=False)
    weight = cho_solve(factor, means.T, check_finite=False).T  # (C, d)
    bias = np.where(has_rows, -0.5 * (weight * means).sum(axis=1), NEVER)
    weight = np.where(has_rows[:, None], weight, 0.0)
    return LinearClassifier(weight.astype(np.float32), bias.astype(np.float32))


def fit_mixture(
    rows: np.ndarray,
    prior_logits: np.ndarray,
    class_prior: np.ndarray,
    *,
    iterations: int,
    beta: float,
    shrinkage: float,
    confidence: float = 0.0,
    label_weight: float = 1.0,
    balance_rounds: int = 20,
    target: np.ndarray | None = None,
) -> tuple[LinearClassifier, np.ndarray]:
    """A Gaussian mixture by EM from another classifier's probabilities, with a balanced E-step.

    Args:
        rows: (N, d) float32, around their mean.
        prior_logits: (N, C) of the other classifier (zero-shot, or fitted on few labels).
        class_prior: (C,) shares of the classes among the unlabelled rows.
        beta: inverse temperature of the Gaussian log-likelihoods; below 1, since feature columns
            are no independent evidence.
        confidence: unlabelled rows are weighted by their top probability to this power.
        label_weight: how many unlabelled rows a labelled one counts as.
        balance_rounds: of Sinkhorn scaling to the class prior; 0 leaves the shares free.
        target: (N,) int; a row's class, or −1. None if no row is labelled.
    Returns: the classifier, for further rows too, and the probabilities (N, C) float64 of the rows,
        labelled ones one-hot.
    Source: Zanella et al. 2024 (TransCLIP), sections 3.1-3.3; Grandvalet and Bengio 2004, section
        3, for labelled and unlabelled rows together.
    """
    target = np.full(len(rows), -1) if target is None else target
    free = target < 0
    shares = np.zeros(prior_logits.shape)
    shares[~free, target[~free]] = 1.0
    shares[free], bias = balanced(prior_logits[free], class_prior, balance_rounds)
    for _ in range(iterations if free.any() else 1):
        weight = shares.max(axis=1) ** confidence
        weight[~free] = label_weight
        gaussians = fit_gaussians(rows, shares * weight[:, None], shrinkage)
        logits = beta * gaussians(rows[free]) + prior_logits[free]
        shares[free], bias = balanced(logits, class_prior, balance_rounds)
    return LinearClassifier(beta * gaussians.weight, beta * gaussians.bias + bias, 1.0), shares


def transduce(
    method: str,
    features: np.ndarray,
    zero_shot: Head,
    scaled: tuple[Operation, ...],
    config: TransductionConfig,
) -> tuple[Head, np.ndarray]:
    """Transductive zero-shot classification: improved by unlabelled images, without any label.

    The mixture has its prior at the zero-shot classifier (Zanella et al. 2024, TransCLIP); its
    baselines are soft k-means (Martin et al. 2024) and balanced assignment (Asano et al. 2020).

    Args:
        method: one of `TRANSDUCTIONS`.
        features: (N, D₀) float32 pooled features, N >= 2.
        zero_shot: pooled features to zero-shot logits (N, C).
        scaled: pooled features to the columns that are modelled; `Pretrained.scaled(root=True)`.
    Returns: a head for new images, whose temperature makes it as confident as zero-shot (the least
        expected log-loss under it), and the probabilities (N, C) float32 of the images.
    """
    columns, text = Head(scaled)(features), config.prior_strength * zero_shot(features)
    prior = np.full(text.shape[1], 1.0 / text.shape[1])
    strong = zero_shot.scaled(config.prior_strength)
    if method == "gda_em":
        space = PrincipalSpace.of(columns, scaled, config.pca_width)
        settings = config.model_dump(include=MIXTURE)
        found, probabilities = fit_mixture(space.rows(columns), text, prior, **settings)
        head = blend(space.head(found.weight, found.bias), strong)
    elif method == "soft_k_means":
        probe, probabilities = _soft_k_means(columns, text, prior, config)
        head = blend(Head((*scaled, *probe)), strong)
    else:
        probabilities, bias = balanced(text, prior, config.balance_rounds)
        head = Head((*strong.operations, affine(np.eye(len(bias)), bias)))
    temperature = fit_temperature(head(features), softmax(zero_shot(features)))
    return head.scaled(1.0 / temperature), probabilities.astype(np.float32)


def _soft_k_means(
    columns: np.ndarray, text: np.ndarray, prior: np.ndarray, config: TransductionConfig
) -> tuple[list[Operation], np.ndarray]:
    """Spherical soft k-means from the text logits (N, C): a probe on the columns, probabilities."""
    mean = columns.mean(axis=0)
    rows = unit_norm(columns - mean)  # (N, D)
    probabilities, bias = balanced(text, prior, config.balance_rounds)
    for _ in range(config.iterations):
        centres = unit_norm(probabilities.T.astype(np.float32) @ rows)  # (C, D)
        logits = config.k_means_beta * rows @ centres.T + text
        probabilities, bias = balanced(logits, prior, config.balance_rounds)
    around = Operation("standardise", {"mean": mean, "scale": np.ones_like(mean)})
    last = affine(config.k_means_beta * centres, bias)
    return [around, Operation("l2_normalise"), last], probabilities
