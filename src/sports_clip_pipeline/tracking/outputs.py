"""What of the catalog goes to MLflow, by each dataset's `metadata: {mlflow: …}`.

metadata:
  mlflow:
    artifact: figures     # the saved file goes among the run's artifacts, in this folder
    metrics: zero_shot    # the numbers of a JSON document become metrics under this prefix
    curves: true          # a table of arms becomes curves over the number of labels
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sports_clip_pipeline.tracking.run import TrackedRun
from sports_clip_pipeline.tracking.seen import CURVE

if TYPE_CHECKING:
    from kedro.io import CatalogProtocol
    from kedro.pipeline import Pipeline


@dataclass(frozen=True)
class Output:
    """How one dataset is recorded: its file, the artifact folder, the metrics' prefix, curves."""

    path: Path | None
    folder: str | None
    prefix: str | None
    curves: bool = False


def planned_outputs(pipeline: Pipeline, catalog: CatalogProtocol) -> dict[str, Output]:
    """The datasets that the pipeline saves and that ask to be recorded, by name."""
    outputs = {}
    for name in pipeline.all_outputs():
        dataset = catalog.get(name) if name in catalog else None
        wish = (getattr(dataset, "metadata", None) or {}).get("mlflow")
        if wish:
            kinds = wish.get("artifact"), wish.get("metrics"), bool(wish.get("curves"))
            outputs[name] = Output(file_of(dataset), *kinds)
    return outputs


def file_of(dataset: Any) -> Path | None:
    """The file or folder behind a dataset; None for one in memory."""
    place = getattr(dataset, "_filepath", None)
    return None if place is None else Path(str(place))


def record_output(run: TrackedRun, output: Output, data: Any) -> None:
    """Record a dataset that was just saved.

    Figures go with an HTML form beside their JSON, Parquet tables as CSV: the MLflow UI shows
    both, without a network.
    """
    if output.prefix is not None:
        run.log_metrics(dict(numbers(data, output.prefix)), None)
    if output.curves:
        log_curves(run, data)
    if output.folder is None or output.path is None:
        return
    place = f"{output.folder}/{output.path.stem}"
    if output.path.suffix == ".parquet" and hasattr(data, "to_csv"):
        run.log_text(data.to_csv(index=False), f"{place}.csv")
        return
    run.log_path(output.path, output.folder)
    if hasattr(data, "to_html") and hasattr(data, "to_plotly_json"):
        from sports_clip_pipeline.report.figure_page import compose_figure_page

        run.log_text(compose_figure_page(data, output.path.stem), f"{place}.html")


def log_curves(run: TrackedRun, arms: Any) -> None:
    """Accuracy by number of labels: `learning_curve/<method>`, whose step is that number.

    `learning_curve/best_by_validation` follows, at each fraction, the method that does best on the
    labelled photographs held out of fitting; the tag `learning_curve.methods` names them.

    Args:
        arms: one row an arm: `method`, `fraction`, `labels`, `top1`, `cv_top1`; may be empty.
    """
    from sports_clip_pipeline.evaluation.paired import best_by_folds

    if arms.empty:
        return
    chosen = {}
    for fraction, some in arms.groupby("fraction"):
        labels = int(some["labels"].max())
        by_method = some.groupby("method")["top1"].mean()
        means = {str(name): float(top1) for name, top1 in by_method.items()}
        run.log_metrics({f"learning_curve/{name}": top1 for name, top1 in means.items()}, labels)
        best = best_by_folds(arms, float(fraction))
        if best is not None:
            chosen[labels] = best
            run.log_metrics({CURVE: means[best]}, labels)
    run.set_tag("learning_curve.methods", json.dumps(chosen))


def numbers(document: Any, prefix: str) -> Iterator[tuple[str, float]]:
    """The numbers of a nested document by flat name; lists and texts are left out.

    >>> dict(numbers({"t2i": {"r1": 0.2}, "note": "x"}, "retrieval"))
    {'retrieval/t2i/r1': 0.2}
    """
    if isinstance(document, Mapping):
        for key, value in document.items():
            yield from numbers(value, f"{prefix}/{key}" if prefix else str(key))
    elif isinstance(document, (int, float)) and not isinstance(document, bool):
        yield prefix, float(document)
