"""Logs datasets to MLflow as their catalog entries ask for in `metadata: {mlflow: …}`.

artifact: figures       the saved file goes among the run's artifacts, in this folder
metrics: {name: path}   numbers at a dotted path of a JSON document become metrics
tags: {name: path}      a value of a JSON document becomes a tag
history: pretrain       a table of epochs, logged live by its node, is logged again by RecordRunner
trials: frozen          the same of a table of trials of this plan
"""

import json
from collections.abc import Mapping
from functools import reduce
from math import isfinite
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.runner import SequentialRunner

from sports_clip_pipeline.parameters import flatten
from sports_clip_pipeline.tracking.run import TrackedRun

if TYPE_CHECKING:
    from kedro.io import CatalogProtocol
    from kedro.pipeline import Pipeline
    from mlflow import MlflowClient


class RecordRunner(SequentialRunner):
    """Records the datasets on disk in a new MLflow run, without running any node."""

    def _run(
        self, pipeline: "Pipeline", catalog: Any, hook_manager: Any = None, run_id: Any = None
    ) -> None:
        for name in [name for node in pipeline.nodes for name in node.outputs]:
            if mlflow_metadata(catalog, name) and catalog.exists(name):
                data = catalog.load(name)
                hook_manager.hook.after_dataset_saved(dataset_name=name, data=data, node=None)


def mlflow_metadata(catalog: "CatalogProtocol", name: str) -> dict[str, Any]:
    """What a catalog entry says about MLflow, and its file as `path`; empty where nothing."""
    dataset: Any = catalog.get(name) if name in catalog else None
    metadata = (getattr(dataset, "metadata", None) or {}).get("mlflow")
    return {**metadata, "path": Path(str(dataset._filepath))} if metadata else {}


def log_dataset(run: TrackedRun, metadata: Mapping[str, Any], data: Any) -> None:
    """Log a dataset that was just saved; figures also as HTML, Parquet tables as CSV."""
    for name, path in metadata.get("metrics", {}).items():
        run.log_metrics(numbers(name, value_at(data, path)))
    run.set_tags({n: str(value_at(data, p)) for n, p in metadata.get("tags", {}).items()})
    if "re_recorded" in run.tags and {"history", "trials"} & set(metadata):
        for row in data.to_dict("records"):
            if "trials" in metadata:
                run.log_trial(row, metadata["trials"])
            else:
                step = row.pop("epoch")
                run.log_metrics(numbers(metadata["history"], row), step)
    if metadata.get("trials") == "frozen" and not data.empty:
        log_learning_curves(run, data)
    if "artifact" not in metadata:
        return
    path, folder = metadata["path"], metadata["artifact"]
    if path.suffix == ".parquet":
        run.call("log_text", data.to_csv(index=False), f"{folder}/{path.stem}.csv")
    elif path.is_dir():
        run.call("log_artifacts", str(path), f"{folder}/{path.name}")
    else:
        run.call("log_artifact", str(path), folder)
    if hasattr(data, "to_plotly_json"):
        from sports_clip_pipeline.report.page import compose_figure_page

        page = compose_figure_page(data, path.stem)
        run.call("log_text", page, f"{folder}/{path.stem}.html")


def log_learning_curves(run: TrackedRun, trials: Any) -> None:
    """Accuracy by number of labels: `learning_curve/<method>`, whose step is that number.

    `learning_curve/best_by_validation` follows, at each fraction, the method that does best on
    held-out labelled images; the tag `learning_curve.methods` names them, and
    `test/top1_<labels>_labels` is its accuracy as a metric for comparing runs.
    """
    from sports_clip_pipeline.evaluation.bootstrap import best_by_cross_validation

    chosen = {}
    for fraction, some in trials.groupby("fraction"):
        labels = int(some["labels"].max())
        means = some.groupby("method")["top1"].mean().to_dict()
        curves = {f"learning_curve/{name}": top1 for name, top1 in means.items()}
        best = best_by_cross_validation(trials, float(fraction))
        if best is not None:
            chosen[labels], curves["learning_curve/best_by_validation"] = best, means[best]
            run.log_metrics({f"test/top1_{labels}_labels": means[best]})
        run.log_metrics(curves, labels)
    run.set_tags({"learning_curve.methods": json.dumps(chosen)})


def value_at(document: Any, path: str) -> Any:
    """The value at a dotted path of a nested document; the empty path is the document."""
    return reduce(lambda value, key: value[key], filter(None, path.split(".")), document)


def numbers(name: str, document: Any) -> dict[str, float]:
    """The numbers of a nested document by flat name; lists, texts and NaN are left out."""
    leaves = flatten(name, document, "/").items()
    numeric = ((key, x) for key, x in leaves if isinstance(x, Real) and not isinstance(x, bool))
    return {key: float(x) for key, x in numeric if isfinite(x)}


def describe(client: "MlflowClient", run_id: str, study: str) -> None:
    """Set the run's description: Markdown of it beside the finished earlier runs of the study.

    The rows of the table are the parameters that differ, and the metrics on test data.
    """
    this = client.get_run(run_id)
    if not metrics_on_test_data(this):
        return
    query = f"tags.study = '{study}' and tags.pipelines LIKE '%' and status = 'FINISHED'"
    query += f" and attributes.start_time < {this.info.start_time}"
    found = client.search_runs([this.info.experiment_id], query, max_results=20)
    runs = [this, *(run for run in found if metrics_on_test_data(run))][:4]
    columns = [
        {**dict(sorted(run.data.params.items())), **metrics_on_test_data(run)} for run in runs
    ]
    head = ["", "this run", *(f"`{run.info.run_id[:8]}`" for run in runs[1:])]
    rows = [head, ["---"] * len(head)]
    for name in dict.fromkeys(name for column in columns for name in column):
        values = [column.get(name, "–")[:40].replace("|", "\\|") for column in columns]
        if name.startswith("test/") or len({*values} - {"–"}) > 1:
            rows.append([f"`{name}`", *values])
    lines = [f"| {' | '.join(row)} |" for row in rows]
    client.set_tag(run_id, "mlflow.note.content", "\n".join(lines)[:5000])


def metrics_on_test_data(run: Any) -> dict[str, str]:
    """The metrics of a run on test data as percentages; those of fewer labels come first."""
    shares = {name: f"{x:.1%}" for name, x in run.data.metrics.items() if name.startswith("test/")}
    return dict(sorted(shares.items(), key=lambda item: (len(item[0]), item[0])))
