"""Which datasets are recorded, in which form, and the comparison with earlier runs."""

from pathlib import Path

import pandas as pd
import plotly.graph_objects as go
import pytest
from kedro.io import DataCatalog, MemoryDataset

from sports_clip_pipeline.io import CsvTable, JsonDocument, ParquetTable, PlotlyFigure
from sports_clip_pipeline.tracking.datasets import describe, log_dataset, mlflow_metadata, numbers


def _artifacts(client, run, folder):
    return sorted(file.path for file in client.list_artifacts(run.run_id, folder))


def _save(dataset, data, run, settings):
    dataset.save(data)
    dataset.metadata = {"mlflow": settings}
    log_dataset(run, mlflow_metadata(DataCatalog({"it": dataset}), "it"), data)


def test_only_datasets_with_metadata_of_mlflow_are_recorded(tmp_path):
    metadata = {"mlflow": {"artifact": "tables"}, "kedro-viz": {"layer": "reporting"}}
    table = CsvTable(filepath=str(tmp_path / "a.csv"), metadata=metadata)
    other = MemoryDataset(metadata={"kedro-viz": {}})
    catalog = DataCatalog({"recorded": table, "other": other, "plain": MemoryDataset()})
    expected = {"artifact": "tables", "path": tmp_path / "a.csv"}
    assert mlflow_metadata(catalog, "recorded") == expected
    assert not any(mlflow_metadata(catalog, name) for name in ("other", "plain", "none"))


def test_a_figure_is_logged_as_json_and_html(start, client, tmp_path):
    run = start()
    dataset = PlotlyFigure(filepath=str(tmp_path / "curve.json"))
    _save(dataset, go.Figure(go.Scatter(x=[0], y=[1])), run, {"artifact": "figures"})
    assert _artifacts(client, run, "figures") == ["figures/curve.html", "figures/curve.json"]
    page = client.download_artifacts(run.run_id, "figures/curve.html", str(tmp_path))
    assert "://" not in Path(page).read_text(), "the page loads nothing"


def test_tables_are_logged_as_csv_and_folders_with_their_files(start, client, tmp_path):
    run = start()
    table = pd.DataFrame({"method": ["ridge"], "top1": [0.5]})
    _save(ParquetTable(filepath=str(tmp_path / "a.parquet")), table, run, {"artifact": "tables"})
    _save(CsvTable(filepath=str(tmp_path / "b.csv")), table, run, {"artifact": "tables"})
    assert _artifacts(client, run, "tables") == ["tables/a.csv", "tables/b.csv"]
    text = client.download_artifacts(run.run_id, "tables/a.csv", str(tmp_path))
    assert pd.read_csv(text).equals(table)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "a.json").write_text("{}")
    log_dataset(run, {"artifact": "models", "path": tmp_path / "model"}, object())
    assert _artifacts(client, run, "models/model") == ["models/model/a.json"]


def test_values_of_a_document_become_metrics_and_tags(start, tmp_path, all_runs):
    document = {"t2i": {"r1": 0.25, "r5": 0.5}, "top": {"k": {"one": 1}}, "digest": "abc"}
    settings = {"metrics": {"test/t2i": "t2i", "top1": "top.k.one"}, "tags": {"data": "digest"}}
    _save(JsonDocument(filepath=str(tmp_path / "r.json")), document, start(), settings)
    run = all_runs()["a run"]
    assert run.data.metrics == {"test/t2i/r1": 0.25, "test/t2i/r5": 0.5, "top1": 1}
    assert run.data.tags["data"] == "abc"


def test_only_finite_numbers_become_metrics():
    document = {"a": {"b": 1, "c": [1], "d": "1", "e": None, "f": False, "g": float("nan")}}
    assert numbers("p", document) == {"p/a/b": 1.0}


TRIALS = pd.DataFrame(
    [("a", 0.1, 63, 0, 0.5, 0.9), ("a", 0.1, 63, 1, 0.7, 0.7), ("b", 0.1, 63, 0, 0.9, 0.7),
     ("a", 1.0, 630, 0, 0.8, 0.5), ("b", 1.0, 630, 0, 0.75, 0.9)],
    columns=["method", "fraction", "labels", "seed", "top1", "cv_top1"],
)  # fmt: skip


def test_trials_become_curves_over_the_number_of_labels(start, client):
    run = start()
    log_dataset(run, {"trials": "frozen"}, TRIALS)
    log_dataset(run, {"trials": "frozen"}, TRIALS.head(0))

    def curve(name):
        points = client.get_metric_history(run.run_id, f"learning_curve/{name}")
        return {point.step: pytest.approx(point.value) for point in points}

    assert curve("a") == {63: 0.6, 630: 0.8}
    assert curve("b") == {63: 0.9, 630: 0.75}
    assert curve("best_by_validation") == {63: 0.6, 630: 0.75}, "not what is best on test images"
    tags = client.get_run(run.run_id).data.tags
    assert tags["learning_curve.methods"] == '{"63": "a", "630": "b"}'


def _run(start, study, top1, **params):
    run = start(study, study=study, pipelines="__default__")
    for name, value in params.items():
        run.call("log_param", f"pretrain.{name}", value)
    run.log_metrics({"test/zero_shot_top1": top1})
    log_dataset(run, {"trials": "frozen"}, TRIALS)
    return run


def test_a_run_is_described_beside_the_earlier_finished_ones_of_its_study(start, client):
    _run(start, "sample", 0.5, epochs=3, seed=0).finish("FINISHED")
    _run(start, "sample", 0.1, epochs=1, seed=0).finish("FAILED", ValueError("a"))
    _run(start, "other", 0.2, epochs=1, seed=0).finish("FINISHED")
    start("nothing", study="sample", pipelines="ingest").finish("FINISHED")
    last = _run(start, "sample", 0.75, epochs=9, seed=0)
    last.call(describe, "sample")
    note = client.get_run(last.run_id).data.tags["mlflow.note.content"].splitlines()
    assert note[2:] == [
        "| `pretrain.epochs` | 9 | 3 |",
        "| `test/top1_63_labels` | 60.0% | 60.0% |",
        "| `test/zero_shot_top1` | 75.0% | 50.0% |",
        "| `test/top1_630_labels` | 75.0% | 75.0% |",
    ]
