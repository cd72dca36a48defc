"""Which datasets are recorded, and in which form."""

from pathlib import Path

import pandas as pd
import plotly.graph_objects as go
import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import node, pipeline

from sports_clip_pipeline.datasets import CsvTable, JsonDocument, ParquetTable, PlotlyFigure
from sports_clip_pipeline.tracking.outputs import Output, numbers, planned_outputs, record_output
from sports_clip_pipeline.tracking.store import connect


def _work(*inputs):
    return inputs


def _artifacts(run, folder):
    client = connect(run.store.uri)
    return sorted(file.path for file in client.list_artifacts(run.run_id, folder))


def _save(dataset, data, run, wish):
    dataset.save(data)
    catalog = DataCatalog({"it": dataset})
    dataset.metadata = {"mlflow": wish}
    plan = planned_outputs(pipeline([node(_work, None, "it")]), catalog)
    record_output(run, plan["it"], data)


def test_only_what_asks_for_it_is_planned(tmp_path):
    wish = {"mlflow": {"artifact": "tables"}, "kedro-viz": {"layer": "reporting"}}
    catalog = DataCatalog(
        {
            "asks": CsvTable(filepath=str(tmp_path / "asks.csv"), metadata=wish),
            "input": CsvTable(filepath=str(tmp_path / "input.csv"), metadata=wish),
            "quiet": MemoryDataset(metadata={"kedro-viz": {}}),
            "plain": MemoryDataset(),
        }
    )
    outputs = ["asks", "quiet", "plain", "uncatalogued"]
    plan = planned_outputs(pipeline([node(_work, "input", outputs)]), catalog)
    assert plan == {"asks": Output(tmp_path / "asks.csv", "tables", None)}


def test_a_figure_goes_as_json_and_as_a_page(start, tmp_path):
    run = start()
    dataset = PlotlyFigure(filepath=str(tmp_path / "curve.json"))
    _save(dataset, go.Figure(go.Scatter(x=[0], y=[1])), run, {"artifact": "figures"})
    assert _artifacts(run, "figures") == ["figures/curve.html", "figures/curve.json"]
    page = connect(run.store.uri).download_artifacts(
        run.run_id, "figures/curve.html", str(tmp_path)
    )
    assert "://" not in Path(page).read_text(), "the page loads nothing"


def test_a_table_goes_as_csv(start, tmp_path):
    run = start()
    table = pd.DataFrame({"method": ["logreg"], "top1": [0.5]})
    _save(ParquetTable(filepath=str(tmp_path / "arms.parquet")), table, run, {"artifact": "tables"})
    _save(CsvTable(filepath=str(tmp_path / "one.csv")), table, run, {"artifact": "tables"})
    assert _artifacts(run, "tables") == ["tables/arms.csv", "tables/one.csv"]
    text = connect(run.store.uri).download_artifacts(run.run_id, "tables/arms.csv", str(tmp_path))
    assert pd.read_csv(text).equals(table)


def test_a_folder_goes_with_what_is_in_it(start, tmp_path):
    run = start()
    (tmp_path / "predictor").mkdir()
    (tmp_path / "predictor" / "predictor.json").write_text("{}")
    record_output(run, Output(tmp_path / "predictor", "models", None), object())
    assert _artifacts(run, "models/predictor") == ["models/predictor/predictor.json"]


def test_numbers_of_a_document_become_metrics(start, tmp_path, all_runs):
    run = start()
    document = {"t2i": {"r1": 0.25, "r5": 0.5}, "images": 1000, "note": "x", "ok": True}
    dataset = JsonDocument(filepath=str(tmp_path / "r.json"))
    _save(dataset, document, run, {"metrics": "retrieval"})
    run.flush()
    metrics = {"retrieval/t2i/r1": 0.25, "retrieval/t2i/r5": 0.5, "retrieval/images": 1000}
    assert all_runs()["a run"].data.metrics == metrics


def test_arms_become_curves_over_the_number_of_labels(start, tmp_path):
    run = start()
    rows = [("a", 0.1, 63, 0, 0.5, 0.9), ("a", 0.1, 63, 1, 0.7, 0.7), ("b", 0.1, 63, 0, 0.9, 0.7),
            ("a", 1.0, 630, 0, 0.8, 0.5), ("b", 1.0, 630, 0, 0.75, 0.9)]  # fmt: skip
    columns = ["method", "fraction", "labels", "seed", "top1", "cv_top1"]
    arms = pd.DataFrame(rows, columns=columns)
    record_output(run, Output(None, None, None, curves=True), arms)
    run.flush()
    client = connect(run.store.uri)

    def curve(name):
        found = client.get_metric_history(run.run_id, f"learning_curve/{name}")
        return {point.step: pytest.approx(point.value) for point in found}

    assert curve("a") == {63: 0.6, 630: 0.8}
    assert curve("b") == {63: 0.9, 630: 0.75}
    assert curve("best_by_validation") == {63: 0.6, 630: 0.75}, "not what is best on evaluation"
    told = client.get_run(run.run_id).data.tags["learning_curve.methods"]
    assert told == '{"63": "a", "630": "b"}'
    record_output(run, Output(None, None, None, curves=True), arms.head(0))


@pytest.mark.parametrize(("prefix", "name"), [("", "a/b"), ("p", "p/a/b")])
def test_lists_texts_and_truths_are_no_metrics(prefix, name):
    document = {"a": {"b": 1, "c": [1, 2], "d": "1", "e": None, "f": False}}
    assert dict(numbers(document, prefix)) == {name: 1.0}
