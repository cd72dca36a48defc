"""Abstention (selective prediction): coverage, selective accuracy, rejection of OOD images."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from sports_clip_pipeline.data.image_store import INDEX, ImageStore
from sports_clip_pipeline.data.user_images import StoredImage
from sports_clip_pipeline.evaluation.bootstrap import Bootstrap
from sports_clip_pipeline.io.fingerprint import file_sha256, fingerprint
from sports_clip_pipeline.io.state import RunState
from sports_clip_pipeline.machine import cores
from sports_clip_pipeline.pipelines.ingest.config import ImageRules
from sports_clip_pipeline.predictor.batch_prediction import predict_all
from sports_clip_pipeline.predictor.onnx_export import classifier_builder
from sports_clip_pipeline.predictor.predictor import Predictor, predictor_fingerprint

_CLASSES_LISTED = 10
# Images in a store were checked when they were ingested.
_ANY = ImageRules.model_construct(min_side=1, max_aspect=1e9, max_pixels=10**12)


def abstention_report(
    threshold: float | None,
    target_coverage: float,
    confidence: np.ndarray,
    correct: np.ndarray,
    ood_probabilities: np.ndarray,
    classes: Sequence[str],
    groups: np.ndarray,
) -> dict[str, Any]:
    """Effect of a confidence threshold on test images and on out-of-distribution images.

    Args:
        threshold: of the classifier; None never abstains.
        target_coverage: for which the threshold was chosen on held-out development images.
        confidence: (N,) probability of the predicted class, of test images.
        correct: (N,) bool; whether that class is the true one.
        ood_probabilities: (M, C) of images that show none of the classes; M may be 0.
        groups: (N,) int, duplicate groups of the test images.
    Returns: JSON-like: `threshold`, `target_coverage`; `test`: `images`, `coverage` with `low` and
        `high`, `selective_accuracy`, `abstained_accuracy` (null where there are none);
        `out_of_distribution`: `images`, `rejection_rate` with `low` and `high` (null for M = 0),
        and `predicted`, pairs of class and count of those not rejected, most frequent first.
    """
    least = 0.0 if threshold is None else threshold
    covered = confidence >= least
    rejected = ood_probabilities.max(axis=1) < least
    predicted = Counter(classes[i] for i in ood_probabilities[~rejected].argmax(axis=1))
    return {
        "threshold": threshold,
        "target_coverage": target_coverage,
        "test": {
            **_share("coverage", covered, groups),
            "selective_accuracy": _mean(correct[covered]),
            "abstained_accuracy": _mean(correct[~covered]),
        },
        "out_of_distribution": {
            **_share("rejection_rate", rejected),
            "predicted": [list(pair) for pair in predicted.most_common(_CLASSES_LISTED)],
        },
    }


def out_of_distribution_probabilities(
    predictor: Predictor,
    store: ImageStore,
    rows: np.ndarray,
    features: np.ndarray,
    state: RunState,
) -> np.ndarray:
    """Probabilities (M, C) of images of the captioned corpus.

    Where the predictor has one encoder, its cached features suffice. Those of additional encoders
    do not exist for this corpus: such a predictor classifies the images themselves, once; the
    probabilities are cached in `state`.

    Args:
        store: of the corpus. rows: (M,) indices of images in it.
        features: (N, D) of all its images, by the first encoder.
    """
    if len(predictor.encoders) == 1:
        return predictor.predict_proba(features[rows])
    content = fingerprint(predictor_fingerprint(predictor), file_sha256(store.path / INDEX), rows)
    cached = state.load_state("abstention", content)
    if cached is not None:
        return cached[0]["probabilities"]
    build = classifier_builder(predictor, state)
    sources = [StoredImage(store, int(row)) for row in rows]
    found = [np.zeros((0, len(predictor.classes)), dtype=np.float32)]
    with state.progress_bar("out-of-distribution images", len(rows), "image") as bar:
        for block in predict_all(sources, build, _ANY, cores()):
            assert not block.failures, block.failures
            found.append(block.probabilities)
            bar.update(len(block))
    probabilities = np.concatenate(found)
    state.save_state("abstention", content, {"probabilities": probabilities})
    return probabilities


def _share(name: str, values: np.ndarray, groups: np.ndarray | None = None) -> dict[str, Any]:
    if not len(values):
        return {"images": 0, name: None, "low": None, "high": None}
    low, high = Bootstrap(groups=groups).interval(values[None, :])
    return {"images": len(values), name: float(values.mean()), "low": low, "high": high}


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if len(values) else None
