"""A finished arm of the pixel plan: as the journal keeps it, and as a predictor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sports_clip_pipeline.data.transforms import ImagePreprocessing
from sports_clip_pipeline.predictor.predictor import Predictor
from sports_clip_pipeline.training.arm import Arm, FittedArm, arm_from_state, arm_to_state
from sports_clip_pipeline.training.threshold import refusal_threshold


@dataclass(frozen=True)
class PixelArm:
    """An arm with its classifier.

    Attributes:
        fitted: its head, temperature and what held-out labelled photographs say.
        tower_weights: state dict of its tower, float32, in the packaged architecture.
        mark: its fingerprint.
    """

    fitted: FittedArm
    tower_weights: dict[str, np.ndarray]
    mark: str


def predictor_of(
    done: PixelArm,
    classes: Sequence[str],
    tower: str,
    preprocessing: ImagePreprocessing,
    views: Sequence[str],
) -> Predictor:
    """The arm as a classifier that stands on its own, at its own resolution.

    Args:
        classes: labels in the order of the logits.
        tower: name of the packaged tower whose architecture it has.
        preprocessing, views: what its tower sees of a photograph.
    """
    fitted = done.fitted
    return Predictor(
        classes=tuple(classes),
        tower=tower,
        preprocessing=preprocessing,
        head=fitted.fit.head,
        temperature=fitted.fit.temperature,
        views=tuple(views),
        tower_weights=done.tower_weights,
        origin={
            "method": fitted.arm.method,
            "fraction": fitted.arm.fraction,
            "seed": fitted.arm.seed,
            "labels": fitted.labels,
            "hyperparameters": fitted.fit.hyperparameters,
            "cv_top1": fitted.fit.cv_top1,
        },
        threshold=refusal_threshold(fitted.fit.held_out),
    )


def to_state(done: PixelArm) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays and JSON-like record for the journal."""
    arrays, meta = arm_to_state(done.fitted)
    arrays |= {f"tower.{name}": value for name, value in done.tower_weights.items()}
    return arrays, meta


def from_state(
    arm: Arm, mark: str, arrays: dict[str, np.ndarray], meta: dict[str, Any]
) -> PixelArm:
    """The inverse of `to_state`, marked as reused."""
    tower = {key[6:]: value for key, value in arrays.items() if key.startswith("tower.")}
    return PixelArm(arm_from_state(arm, arrays, meta, mark), tower, mark)
