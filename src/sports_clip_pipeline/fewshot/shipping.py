"""A fitted trial as a stand-alone predictor, and its abstention threshold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sports_clip_pipeline.data.transforms import ImageTransform
from sports_clip_pipeline.fewshot.trial import FittedTrial
from sports_clip_pipeline.predictor.head import Head
from sports_clip_pipeline.predictor.predictor import EncoderInput, Predictor

# Share of the held-out labelled images that are answered.
COVERAGE = 0.95


def trial_predictor(
    fitted: FittedTrial,
    embed_audit: Mapping[str, Any],
    labels: Sequence[str],
    encoder_weights: Mapping[str, np.ndarray],
    coverage: float = COVERAGE,
) -> Predictor:
    """The trial with the encoders whose features it was fitted on.

    A trial that reads the first encoder alone is shipped without the others.

    Args:
        embed_audit: how the features were made. labels: of the classes, in the order of logits.
        encoder_weights: of the first encoder where it was trained; empty for packaged ones.
        coverage: share of held-out images that are answered.
    """
    first, *additional_encoders = (EncoderInput.from_dict(row) for row in embed_audit["encoders"])
    head, alone = without_additional_encoders(fitted.fit.head, first.width)
    return Predictor(
        classes=tuple(labels),
        image_encoder=embed_audit["image_encoder"],
        preprocessing=ImageTransform.from_dict(embed_audit["preprocessing"]),
        head=head,
        temperature=fitted.fit.temperature,
        views=tuple(embed_audit["views"]),
        encoder_weights=dict(encoder_weights),
        origin={
            "method": fitted.key.method,
            "fraction": fitted.key.label_fraction,
            "seed": fitted.key.seed,
            "labels": fitted.labels,
            "hyperparameters": fitted.fit.hyperparameters,
            "cv_top1": fitted.fit.cv_top1,
        },
        additional_encoders=() if alone else tuple(additional_encoders),
        threshold=abstention_threshold(fitted.fit.held_out, coverage),
    )


def without_additional_encoders(head: Head, width: int) -> tuple[Head, bool]:
    """The head on the first encoder alone, if that is all it reads, and whether it is."""
    first = head.operations[0]
    reads_first = (
        first.kind == "columns"
        and int(first.arrays["start"]) == 0
        and int(first.arrays["stop"]) == width
    )
    return (Head(head.operations[1:]), True) if reads_first else (head, False)


def abstention_threshold(held_out: np.ndarray | None, coverage: float = COVERAGE) -> float | None:
    """The highest confidence threshold under which at most 1 − coverage of held-out rows fall.

    The predictor abstains where its greatest probability is below it. The rows are those that
    cross-validation inside the labelled subset held out; no test image is used.

    Args:
        held_out: (n, C) calibrated probabilities by heads that did not see the row; NaN where a row
            was never held out. None where nothing was.
    Returns: a probability, or None where no row was held out: it never abstains then. Of the
        confidences .9, .8, .7, .6 with coverage .75 it is .7, and .6 is abstained from.
    Source: Chow 1970; El-Yaniv and Wiener 2010, section 2 (coverage of a selective classifier).
    """
    if held_out is None:
        return None
    confidence = held_out.max(axis=1)  # (n,)
    confidence = np.sort(confidence[~np.isnan(confidence)].astype(np.float64))
    if len(confidence) == 0:
        return None
    # The small number keeps 20 rows and .95 from becoming 0.999…, which abstains from none.
    rejected = int(np.floor((1.0 - coverage) * len(confidence) + 1e-9))
    return float(confidence[min(rejected, len(confidence) - 1)])
