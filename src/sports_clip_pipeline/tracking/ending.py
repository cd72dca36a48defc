"""What a finished run adds to its record: the comparison with earlier ones, the model."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from sports_clip_pipeline.config.tracking import TrackingConfig
from sports_clip_pipeline.tracking.operations import Compare, Register
from sports_clip_pipeline.tracking.outputs import file_of
from sports_clip_pipeline.tracking.run import TrackedRun

if TYPE_CHECKING:
    import pandas as pd
    from kedro.io import CatalogProtocol
    from kedro.pipeline import Pipeline

_RESULTS = frozenset({"zero_shot_metrics", "retrieval_metrics", "finetune_trials"})
_JUDGED = frozenset({"predictor", "finetune_metrics", "test_predictions"})


def conclude(
    run: TrackedRun, config: TrackingConfig, pipeline: Pipeline, catalog: CatalogProtocol
) -> None:
    """Record the comparison and the model of a run that made results and a predictor.

    A run without them, of `ingest` alone say, adds nothing.
    """
    made = pipeline.all_outputs()
    run.flush()
    if config.register and made >= _JUDGED and all(name in catalog for name in _JUDGED):
        run.put(_registration(run, catalog))
    if made & _RESULTS:
        run.put(Compare(run.record, run.tags["study"]))


def _registration(run: TrackedRun, catalog: CatalogProtocol) -> Register:
    judged, audit = catalog.load("test_predictions"), catalog.load("ingest_audit")
    metrics: dict[str, Any] = catalog.load("finetune_metrics")
    origin = metrics.get("origin", {})
    return Register(
        run.record,
        str(file_of(catalog.get("predictor"))),
        run.tags["study"],
        float(metrics["top1"]),
        evaluation_print(judged, str(audit["data_digest"])),
        len(judged),
        {
            "method": str(metrics["best_method"]),
            "fraction": str(origin.get("fraction", "")),
            "data_digest": str(audit["data_digest"]),
            "git.commit": run.tags.get("git.commit", "unknown"),
        },
    )


def evaluation_print(judged: pd.DataFrame, data_digest: str) -> str:
    """What tells the evaluation photographs and their labels from others: 16 hex digits.

    Args:
        judged: `image`, `label`, a row an evaluation photograph, in any order.
        data_digest: of the corpora that they are from.
    """
    pairs = sorted(zip(judged["image"].astype(str), judged["label"].astype(str), strict=True))
    return hashlib.sha256(json.dumps([data_digest, pairs]).encode()).hexdigest()[:16]
