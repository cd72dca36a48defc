"""Whether "none of these" is said where it should be, and only there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from sports_clip_pipeline.data.image_store import INDEX, ImageStore
from sports_clip_pipeline.data.user_images import StoredImage
from sports_clip_pipeline.evaluation.bootstrap import bootstrap_interval
from sports_clip_pipeline.fewshot.trial import COVERAGE
from sports_clip_pipeline.io.fingerprint import file_sha256, fingerprint
from sports_clip_pipeline.io.state import Journal
from sports_clip_pipeline.machine import cores
from sports_clip_pipeline.pipelines.ingest.config import ImageRules
from sports_clip_pipeline.predictor.batch_prediction import Eager, Exported, answer_all
from sports_clip_pipeline.predictor.export import cached_export, can_export
from sports_clip_pipeline.predictor.predictor import Predictor, predictor_fingerprint

_SHOWN = 10
# What ingest has kept, it has checked.
_ANY = ImageRules.model_construct(min_side=1, max_aspect=1e9, max_pixels=10**12)


def refusal_report(
    threshold: float | None,
    confidence: np.ndarray,
    correct: np.ndarray,
    strange: np.ndarray,
    classes: Sequence[str],
) -> dict[str, Any]:
    """What a threshold does to photographs of the classes, and to photographs of none of them.

    Args:
        threshold: of the classifier; None refuses nothing.
        confidence: (N,) probability of the answered class, of evaluation photographs.
        correct: (N,) bool; whether that class was right.
        strange: (M, C) probabilities of photographs without any of the classes; M may be 0.
    Returns: JSON-like: `threshold`, `wanted_kept_share`; `evaluation`: `photographs`, `kept_share`
        with `low` and `high`, `top1_of_kept`, `top1_of_refused` (null where there are none);
        `without_class`: `photographs`, `refused_share` with `low` and `high` (null for M = 0), and
        `answered`, pairs of class and count of those that were not refused, most first.
    """
    least = 0.0 if threshold is None else threshold
    kept = confidence >= least
    refused = strange.max(axis=1) < least if len(strange) else np.zeros(0, dtype=bool)
    counted = Counter(classes[place] for place in strange[~refused].argmax(axis=1))
    return {
        "threshold": threshold,
        "wanted_kept_share": COVERAGE,
        "evaluation": {
            **_share("kept_share", kept),
            "top1_of_kept": _mean(correct[kept]),
            "top1_of_refused": _mean(correct[~kept]),
        },
        "without_class": {
            **_share("refused_share", refused),
            "answered": [list(pair) for pair in counted.most_common(_SHOWN)],
        },
    }


def strange_probabilities(
    predictor: Predictor,
    store: ImageStore,
    rows: np.ndarray,
    features: np.ndarray,
    journal: Journal,
) -> np.ndarray:
    """Probabilities (M, C) of photographs of the captioned corpus.

    Where the first tower is all that the predictor has, its cached features say everything. The
    captioned corpus has none of additional_encoders and of towers trained apart: such a predictor looks at
    the photographs themselves, once; the journal keeps what it said.

    Args:
        store: of the corpus. rows: (M,) of its photographs.
        features: (N, D) of all its photographs, by the first tower.
    """
    if not predictor.additional_encoders:
        return predictor.predict_proba(features[rows])
    mark = fingerprint(predictor_fingerprint(predictor), file_sha256(store.path / INDEX), rows)
    kept = journal.load_state("abstention", mark)
    if kept is not None:
        return kept[0]["probabilities"]
    exports = can_export(predictor)
    recipe = Exported(cached_export(predictor, journal)) if exports else Eager(predictor)
    sources = [StoredImage(store, int(row)) for row in rows]
    found = [np.zeros((0, len(predictor.classes)), dtype=np.float32)]
    with journal.counting("photographs without a class", len(rows), "image") as bar:
        for block in answer_all(sources, recipe, _ANY, cores()):
            assert not block.failures, block.failures
            found.append(block.probabilities)
            bar.update(len(block))
    probabilities = np.concatenate(found)
    journal.save_state("abstention", mark, {"probabilities": probabilities})
    return probabilities


def _share(name: str, held: np.ndarray) -> dict[str, Any]:
    if not len(held):
        return {"photographs": 0, name: None, "low": None, "high": None}
    low, high = bootstrap_interval(held[None, :], seed=0)
    return {"photographs": len(held), name: float(held.mean()), "low": low, "high": high}


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if len(values) else None
