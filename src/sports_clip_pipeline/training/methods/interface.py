"""What every few-label method takes and gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from sports_clip_pipeline.config.finetune import FinetuneConfig
from sports_clip_pipeline.models.head import Head, Operation


@dataclass(frozen=True)
class Labelled:
    """The labelled photographs of one arm.

    Attributes:
        features: (n, D) float32 pooled tower features.
        target: (n,) int64 in [0, classes).
        fold: (n,) int; which fold holds the row out, −1 for never.
        classes: number of classes of the study.
    """

    features: np.ndarray
    target: np.ndarray
    fold: np.ndarray
    classes: int

    def where(self, mask: np.ndarray) -> Labelled:
        """The rows under a boolean mask (n,)."""
        return Labelled(self.features[mask], self.target[mask], self.fold[mask], self.classes)


@dataclass(frozen=True)
class TextAnchors:
    """What pretraining knows of the classes.

    Attributes:
        anchors: (C, P) float32 unit-norm text embeddings.
        logit_scale: scale of cosines, > 0.
        image_weight: (P, D) projection of pooled features. image_bias: (P,).
    """

    anchors: np.ndarray
    logit_scale: float
    image_weight: np.ndarray
    image_bias: np.ndarray

    def embed(self) -> tuple[Operation, ...]:
        """Pooled features to unit-norm image embeddings, as operations of a head."""
        projection = {"weight": self.image_weight, "bias": self.image_bias}
        return Operation("affine", projection), Operation("l2_normalise")


@dataclass(frozen=True)
class Fit:
    """A fitted head, and what the labelled part alone says of it.

    Attributes:
        head: pooled features (N, D) to logits (N, C).
        temperature: divides the logits; fitted on held-out folds.
        hyperparameters: what k-fold chose, JSON-like.
        cv_top1: accuracy on held-out folds. cv_log_loss: nats, after the temperature.
    """

    head: Head
    temperature: float
    hyperparameters: dict[str, Any]
    cv_top1: float
    cv_log_loss: float


class Method(Protocol):
    """Fit a classifier from few labels."""

    def __call__(
        self,
        labelled: Labelled,
        anchors: TextAnchors,
        config: FinetuneConfig,
        seed: int,
        unlabelled: np.ndarray | None = None,
    ) -> Fit:
        """Fit on the labelled rows.

        Args:
            seed: of everything random in the method.
            unlabelled: (U, D) pooled features of further development photographs, or None.
        """
