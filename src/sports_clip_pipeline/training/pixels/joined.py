"""A tower trained through its pixels, joined to a committee on frozen features.

One knows these photographs' pixels, the other keeps what several towers learned from ImageNet; they
err differently, so their logits are added. Which of the trained towers speaks, and how much each
side counts, is fitted on labelled photographs that neither had learned from.

Source: Lakshminarayanan et al. 2017 (Deep ensembles), section 2; Genest and Zidek 1986, section 3
(logarithmic opinion pools); Wortsman et al. 2022, section 4 (ensembles in output space).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sports_clip_pipeline.config.finetune import FinetuneConfig
from sports_clip_pipeline.journal import Journal
from sports_clip_pipeline.models.head import Head, Operation, blend
from sports_clip_pipeline.models.image_towers import image_encoder
from sports_clip_pipeline.models.predictor import Predictor, TowerInput
from sports_clip_pipeline.pipelines.finetune.config import END_TO_END_ENSEMBLE
from sports_clip_pipeline.training.arm import Arm, FittedArm
from sports_clip_pipeline.training.methods.blending import best_beside
from sports_clip_pipeline.training.methods.cross_validation import judged
from sports_clip_pipeline.training.methods.interface import Fit, Labelled
from sports_clip_pipeline.training.pixels.arms import PixelStudy
from sports_clip_pipeline.training.pixels.fitted import PixelArm
from sports_clip_pipeline.training.study import StudyData, kept_arms
from sports_clip_pipeline.training.threshold import refusal_threshold

_LOG = logging.getLogger(__name__)
# The method of the feature plan that it is joined to.
FROZEN = "committee"
_LEAST = 1e-7


@dataclass(frozen=True)
class JoinedArm:
    """Two arms on the same labels as one.

    Attributes:
        fitted: the arm; its head reads the trained tower's columns, then those of the frozen
            towers; its temperature is 1.
        pixel: the arm of the pixel plan that speaks. mark: its fingerprint.
        frozen: the head on frozen features.
        factors: of the logits of the two.
    """

    fitted: FittedArm
    pixel: Arm
    mark: str
    frozen: Head
    factors: tuple[float, float]

    def logits(self, pixel_logits: np.ndarray, features: np.ndarray) -> np.ndarray:
        """(N, C) from the pixel arm's logits (N, C) and the frozen towers' features (N, ΣD)."""
        of_pixel, of_frozen = self.factors
        mixed: np.ndarray = of_pixel * pixel_logits + of_frozen * self.frozen(features)
        return mixed.astype(np.float32)


def join_all(
    trained: Sequence[PixelArm],
    pixels: PixelStudy,
    data: StudyData,
    config: FinetuneConfig,
    journal: Journal,
) -> list[JoinedArm]:
    """Each fraction and seed of the pixel plan joined to the committee of the same labels.

    Where the feature plan has no such committee, or where contrastive pretraining changed the image
    tower that its features come from, there is nothing to join.

    Args:
        journal: of the feature plan.
    """
    if pixels.start.clip_weights:
        _LOG.info(
            "%s: the frozen tower is not a packaged one; nothing is joined", END_TO_END_ENSEMBLE
        )
        return []
    widths = (image_encoder(pixels.start.tower).width, data.features.shape[1])
    groups: dict[Arm, list[PixelArm]] = {}
    for done in trained:
        groups.setdefault(replace(done.fitted.arm, method=FROZEN), []).append(done)
    kept = {fitted.arm: fitted for fitted in kept_arms(list(groups), data, config, journal)}
    for arm in sorted(groups.keys() - kept.keys(), key=lambda arm: arm.name):
        _LOG.info("%s: %s was not fitted; nothing is joined to it", END_TO_END_ENSEMBLE, arm.name)
    return [
        join(groups[arm], fitted, data.target[data.labelled_rows(arm)], widths)
        for arm, fitted in kept.items()
    ]


def join(
    trained: Sequence[PixelArm],
    frozen: FittedArm,
    target: np.ndarray,
    widths: tuple[int, int],
) -> JoinedArm:
    """The trained tower that adds most to the frozen classifier, and the two as one arm.

    Args:
        trained: arms of the pixel plan on one fraction and seed, with their held-out answers.
        frozen: the arm of the feature plan on the same labels, with its own.
        target: (n,) int classes of the labelled photographs.
        widths: columns of the trained tower, and of the frozen towers together.
    Raises: ValueError: an arm says nothing of held-out photographs.
    """
    said = {done.fitted.arm.method: _spoken(done.fitted.fit) for done in trained}
    beside = _spoken(frozen.fit)
    seen = ~np.isnan(beside[:, 0])
    held_out = {name: np.where(seen[:, None], logits, np.nan) for name, logits in said.items()}
    best, weights = best_beside(beside, held_out, target)
    chosen = next(done for done in trained if done.fitted.arm.method == best)
    factors = (
        weights[0] / chosen.fitted.fit.temperature,
        weights[1] / frozen.fit.temperature,
    )
    mixed = weights[0] * held_out[best] + weights[1] * beside
    head = _head(chosen.fitted.fit.head, frozen.fit.head, factors, widths)
    settings = {"pixel_method": best, "pixel_weight": weights[0], "frozen_weight": weights[1]}
    rows = Labelled(np.empty((len(target), 0)), target, np.empty(0), beside.shape[1])
    fitted = FittedArm(
        arm=replace(chosen.fitted.arm, method=END_TO_END_ENSEMBLE),
        fit=judged(rows, mixed, head, settings),
        labels=len(target),
        elapsed_s=chosen.fitted.elapsed_s + frozen.elapsed_s,
        reused=chosen.fitted.reused and frozen.reused,
    )
    return JoinedArm(fitted, chosen.fitted.arm, chosen.mark, frozen.fit.head, factors)


def better_than(joined: JoinedArm, chosen: FittedArm, target: np.ndarray) -> bool:
    """Whether joining beats an arm on photographs held out from both, by over one standard error.

    Where the trained tower got no weight there is nothing to pay for.

    Args:
        chosen: an arm of the feature plan on the same labels, with its held-out answers.
        target: (n,) int classes of the labelled photographs.
    """
    mine, other = joined.fitted.fit.held_out, chosen.fit.held_out
    if joined.factors[0] == 0.0 or mine is None or other is None:
        return False
    rows = np.flatnonzero(~np.isnan(mine[:, 0]) & ~np.isnan(other[:, 0]))
    gain = np.log(np.maximum(mine[rows, target[rows]], _LEAST)) - np.log(
        np.maximum(other[rows, target[rows]], _LEAST)
    )  # (n,) nats
    return bool(gain.mean() > gain.std(ddof=1) / np.sqrt(len(gain)))


def predictor_of_joined(
    joined: JoinedArm,
    pixel_predictor: Predictor,
    embed_audit: Mapping[str, Any],
) -> Predictor:
    """The joined arm as a classifier that stands on its own.

    Args:
        pixel_predictor: of its pixel arm. embed_audit: how the frozen features were made.
    """
    fitted = joined.fitted
    return replace(
        pixel_predictor,
        head=fitted.fit.head,
        temperature=fitted.fit.temperature,
        additional_encoders=tuple(TowerInput.from_dict(row) for row in embed_audit["towers"]),
        origin={
            **pixel_predictor.origin,
            "method": END_TO_END_ENSEMBLE,
            "hyperparameters": fitted.fit.hyperparameters,
            "cv_top1": fitted.fit.cv_top1,
        },
        threshold=refusal_threshold(fitted.fit.held_out),
    )


def _spoken(fit: Fit) -> np.ndarray:
    """Held-out answers (n, C) as logits; NaN where a row was not held out."""
    if fit.held_out is None:
        raise ValueError("an arm without held-out answers cannot be joined")
    return np.log(np.maximum(fit.held_out.astype(np.float64), _LEAST))


def _head(
    trained: Head, frozen: Head, factors: tuple[float, float], widths: tuple[int, int]
) -> Head:
    """Both heads on columns side by side, the trained tower's first."""
    edges = (0, widths[0], sum(widths))
    sides = [
        Head((_columns(start, stop), *head.operations)).scaled(factor)
        for head, factor, start, stop in zip(
            (trained, frozen), factors, edges[:-1], edges[1:], strict=True
        )
    ]
    return blend(*sides)


def _columns(start: int, stop: int) -> Operation:
    edges = {"start": np.asarray(start, np.float32), "stop": np.asarray(stop, np.float32)}
    return Operation("columns", edges)
