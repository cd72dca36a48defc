"""From a fitted arm to a predictor that stands on its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sports_clip_pipeline.models.head import Head
from sports_clip_pipeline.models.predictor import Predictor, TowerInput
from sports_clip_pipeline.preprocessing.images import ImagePreprocessing
from sports_clip_pipeline.training.arm import FittedArm
from sports_clip_pipeline.training.threshold import refusal_threshold


def predictor_of(
    fitted: FittedArm,
    embed_audit: Mapping[str, Any],
    labels: Sequence[str],
    tower_weights: Mapping[str, np.ndarray],
) -> Predictor:
    """The arm with the towers whose features it was fitted on.

    An arm that reads the first tower alone is shipped without the others.

    Args:
        embed_audit: how the features were made. labels: of the classes, in the order of logits.
        tower_weights: of the first tower where it was trained; empty for the packaged ones.
    """
    first, *additional_encoders = (TowerInput.from_dict(row) for row in embed_audit["towers"])
    head, alone = without_companions(fitted.fit.head, first.width)
    return Predictor(
        classes=tuple(labels),
        tower=embed_audit["image_encoder"],
        preprocessing=ImagePreprocessing.from_dict(embed_audit["preprocessing"]),
        head=head,
        temperature=fitted.fit.temperature,
        views=tuple(embed_audit["views"]),
        tower_weights=dict(tower_weights),
        origin={
            "method": fitted.arm.method,
            "fraction": fitted.arm.fraction,
            "seed": fitted.arm.seed,
            "labels": fitted.labels,
            "hyperparameters": fitted.fit.hyperparameters,
            "cv_top1": fitted.fit.cv_top1,
        },
        additional_encoders=() if alone else tuple(additional_encoders),
        threshold=refusal_threshold(fitted.fit.held_out),
    )


def without_companions(head: Head, width: int) -> tuple[Head, bool]:
    """The head on the first tower's features alone, if that is all it reads, and whether it is."""
    first = head.operations[0]
    reads_first = (
        first.kind == "columns"
        and int(first.arrays["start"]) == 0
        and int(first.arrays["stop"]) == width
    )
    return (Head(head.operations[1:]), True) if reads_first else (head, False)
