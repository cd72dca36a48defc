"""Zero-shot classification that learns from photographs without any label.

Two uses: fitted on photographs at hand and judged on others (inductive, the head), or on the very
photographs it is asked about (transductive, the probabilities). Class prior: uniform, unless
`balance_rounds` is 0; then the classes' shares are free.

Source: Zanella et al. 2024 (TransCLIP) for the mixture with the text's pull; Martin et al. 2024
("Transductive zero-shot and few-shot CLIP") for soft k-means as its baseline; Asano et al. 2020 for
balanced assignment alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar

from sports_clip_pipeline.models.head import Head, Operation, blend, softmax
from sports_clip_pipeline.models.unit_norm import unit_norm
from sports_clip_pipeline.pipelines.zero_shot.config import TransductionConfig
from sports_clip_pipeline.training.mixture import MixtureSettings, balanced, fit_mixture
from sports_clip_pipeline.training.principal import PrincipalSpace


@dataclass(frozen=True)
class Transduced:
    """What photographs without labels made of a zero-shot classifier.

    Attributes:
        head: pooled features to logits, for photographs that were not seen.
        probabilities: (N, C) float32 of the photographs that were.
        prior: what was assumed of the classes' shares: `uniform` or `none`.
    """

    head: Head
    probabilities: np.ndarray
    prior: str


@dataclass(frozen=True)
class _Photographs:
    """Scaled features (N, D), zero-shot logits (N, C), and what made them."""

    columns: np.ndarray
    text: np.ndarray
    zero_shot: Head
    scaled: tuple[Operation, ...]


def zero_shot_with_unlabelled(
    features: np.ndarray,
    zero_shot: Head,
    scaled: tuple[Operation, ...],
    config: TransductionConfig,
) -> Head:
    """The zero-shot classifier after EM on photographs without labels, for other photographs.

    Args:
        features: (N, D₀) float32 pooled features, N >= 2.
        zero_shot: pooled features to zero-shot logits (N, C).
        scaled: pooled features to the columns that are modelled; `TextAnchors.scaled(root=True)`.
    """
    return transduce("gda_em", features, zero_shot, scaled, config).head


def transduce(
    method: str,
    features: np.ndarray,
    zero_shot: Head,
    scaled: tuple[Operation, ...],
    config: TransductionConfig,
) -> Transduced:
    """One of `TRANSDUCTIONS` on photographs (N, D₀), as in `zero_shot_with_unlabelled`.

    The head's logits are divided by a temperature that makes its probabilities as bold as the
    zero-shot ones allow: the least log-loss against labels drawn from those.
    """
    columns = Head(scaled)(features)
    photographs = _Photographs(columns, zero_shot(features), zero_shot, scaled)
    head, probabilities = _METHODS[method](photographs, config)
    tempered = head.scaled(1.0 / _temperature(head(features), softmax(photographs.text)))
    prior = "uniform" if config.balance_rounds else "none"
    return Transduced(tempered, probabilities.astype(np.float32), prior)


def balanced_assignment(
    photographs: _Photographs, config: TransductionConfig
) -> tuple[Head, np.ndarray]:
    """Zero-shot logits with one bias a class, so that the classes have even shares."""
    logits = config.prior_strength * photographs.text
    probabilities, bias = balanced(logits, _even(logits), config.balance_rounds)
    width = np.eye(logits.shape[1], dtype=np.float32) * np.float32(config.prior_strength)
    shift = Operation("affine", {"weight": width, "bias": bias.astype(np.float32)})
    return Head((*photographs.zero_shot.operations, shift)), probabilities


def soft_k_means(photographs: _Photographs, config: TransductionConfig) -> tuple[Head, np.ndarray]:
    """Centres of the classes on the sphere, by cosines to them and the pull of the text."""
    mean = photographs.columns.mean(axis=0)
    rows = unit_norm(photographs.columns - mean)  # (N, D)
    text = config.prior_strength * photographs.text
    probabilities, bias = balanced(text, _even(text), config.balance_rounds)
    for _ in range(config.iterations):
        centres = unit_norm(probabilities.T.astype(np.float32) @ rows)  # (C, D)
        logits = config.k_means_beta * rows @ centres.T + text
        probabilities, bias = balanced(logits, _even(text), config.balance_rounds)
    around: dict[str, np.ndarray] = {"mean": mean, "scale": np.ones_like(mean)}
    weight: dict[str, np.ndarray] = {
        "weight": config.k_means_beta * centres,
        "bias": bias.astype(np.float32),
    }
    shape = (
        Operation("standardise", around),
        Operation("l2_normalise"),
        Operation("affine", weight),
    )
    probe = Head((*photographs.scaled, *shape))
    return blend(probe, photographs.zero_shot.scaled(config.prior_strength)), probabilities


def gda_em(photographs: _Photographs, config: TransductionConfig) -> tuple[Head, np.ndarray]:
    """A Gaussian for each class, one covariance for all, by EM from the zero-shot answers."""
    space = PrincipalSpace.of(photographs.columns, photographs.scaled, config.pca_width)
    settings = MixtureSettings(
        iterations=config.iterations,
        sharpness=config.beta,
        pull=config.prior_strength,
        shrinkage=config.shrinkage,
        confidence=config.confidence,
        balance_rounds=config.balance_rounds,
    )
    rows, text = space.rows(photographs.columns), photographs.text
    mixture = fit_mixture(rows, text, _even(text), settings)
    weight = config.beta * mixture.gaussians.weight
    bias = config.beta * mixture.gaussians.bias + mixture.bias
    head = blend(space.head(weight, bias), photographs.zero_shot.scaled(config.prior_strength))
    return head, mixture.probabilities


def _even(logits: np.ndarray) -> np.ndarray:
    return np.full(logits.shape[1], 1.0 / logits.shape[1])


def _temperature(logits: np.ndarray, belief: np.ndarray) -> float:
    """The temperature in [0.01, 100] with the least expected log-loss under beliefs (N, C)."""
    gap = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)

    def loss(log_t: float) -> float:
        scaled = gap / np.exp(log_t)
        return float((np.log(np.exp(scaled).sum(axis=1)) - (belief * scaled).sum(axis=1)).mean())

    found = minimize_scalar(loss, bounds=(np.log(0.01), np.log(100.0)), method="bounded")
    return float(np.exp(found.x))


_METHODS: Mapping[str, Callable[[_Photographs, TransductionConfig], tuple[Head, np.ndarray]]] = {
    "balanced_assignment": balanced_assignment,
    "soft_k_means": soft_k_means,
    "gda_em": gda_em,
}
