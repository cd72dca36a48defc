"""A run beside earlier ones of its study."""

import csv
import io
from pathlib import Path

import pytest

from sports_clip_pipeline.tracking.comparison import NOTE, as_csv, record_comparison, tables
from sports_clip_pipeline.tracking.comparison_figure import draw
from sports_clip_pipeline.tracking.operations import Compare
from sports_clip_pipeline.tracking.seen import CURVE, SeenRun, differing, this_and_earlier
from sports_clip_pipeline.tracking.store import connect

OLD = SeenRun(
    "a" * 32, "sample x", 0, {"pretrain.epochs": "3", "embed.tower": "lite0", "old.only": "1"},
    {"test/zero_shot_top1": 0.5, "test/t2i_r5": 0.4}, {32: 0.6, 633: 0.8}, "d1",
)  # fmt: skip
NEW = SeenRun(
    "b" * 32, "sample x", 60_000, {"pretrain.epochs": "9", "embed.tower": "lite0"},
    {"test/zero_shot_top1": 0.75, "test/t2i_r5": 0.5}, {633: 0.9}, "d1",
)  # fmt: skip


def test_only_parameters_that_both_have_and_that_differ_are_named():
    assert differing([NEW, OLD]) == {"pretrain.epochs": ["9", "3"]}


def test_the_table_has_a_row_a_run_and_names_what_differed():
    rows = list(csv.DictReader(io.StringIO(as_csv([NEW, OLD]))))
    assert rows[0] == {
        "run": "b" * 32,
        "name": "sample x",
        "zero-shot top-1": "75.0 %",
        "text to image R@5": "50.0 %",
        "top-1 with 32 labels": "–",
        "top-1 with 633 labels": "90.0 %",
        "pretrain.epochs": "9",
    }
    assert rows[1]["top-1 with 32 labels"] == "60.0 %"


def test_runs_on_other_data_are_told_as_such():
    other = SeenRun(**{**vars(OLD), "data": "d2"})
    assert "data_digest" in tables([NEW, other])
    assert "data_digest" not in tables([NEW, OLD])


def test_what_a_run_calls_itself_is_no_html():
    odd = SeenRun(**{**vars(OLD), "params": {"pretrain.epochs": "<script>"}})
    assert "<script>" not in tables([NEW, odd])


def test_the_figure_has_each_runs_results_this_run_last_drawn():
    figure = draw([NEW, OLD])
    assert [trace.name for trace in figure.data] == [OLD.label] * 2 + ["this run"] * 2
    assert list(figure.data[2].y) == [0.75, 0.5]
    assert list(figure.data[1].x) == [32, 633]
    assert list(figure.data[1].y) == [0.6, 0.8]


def _run(start, study, top1, **params):
    run = start(study, study=study, pipelines="__default__")
    run.log_params({f"pretrain.{name}": str(value) for name, value in params.items()})
    run.log_metrics({"test/zero_shot_top1": top1}, None)
    run.log_metrics({CURVE: top1 / 2}, 32)
    run.log_metrics({CURVE: top1}, 633)
    run.log_arm("arm", {"seed": 0}, {"test/top1": 0.1}, {})
    run.flush()
    return run


def test_a_run_is_drawn_beside_the_earlier_finished_ones_of_its_study(start, tmp_path):
    first = _run(start, "sample", 0.5, epochs=3)
    first.finish("FINISHED")
    _run(start, "sample", 0.1, epochs=1).finish("FAILED", ValueError("a"))
    _run(start, "other", 0.2, epochs=1).finish("FINISHED")
    start("nothing", study="sample", pipelines="ingest").finish("FINISHED")
    last = _run(start, "sample", 0.75, epochs=9)
    last.put(Compare(last.record, "sample"))
    client, experiment = connect(last.store.uri), last.store.experiment_id
    seen = this_and_earlier(client, experiment, last.run_id, "sample")
    assert [run.run_id for run in seen] == [last.run_id, first.run_id]
    assert seen[0].curve == {32: 0.375, 633: 0.75}
    page = Path(
        client.download_artifacts(last.run_id, "comparison/comparison.html", str(tmp_path))
    ).read_text()
    assert "pretrain.epochs" in page
    assert "://" not in page, "the page loads nothing"
    note = client.get_run(last.run_id).data.tags[NOTE]
    assert "| `pretrain.epochs` | 9 | 3 |" in note
    assert "| zero-shot top-1 | 75.0 % | 50.0 % |" in note


def test_a_run_without_results_is_compared_with_nothing(start):
    run = start(study="sample", pipelines="ingest")
    found = record_comparison(connect(run.store.uri), run.store.experiment_id, run.run_id, "sample")
    assert found == []


@pytest.mark.parametrize("count", [1, 8])
def test_one_run_alone_and_many_can_be_drawn(count):
    runs = [SeenRun(**{**vars(NEW), "run_id": f"{n:032d}"}) for n in range(count)]
    assert len(draw(runs).data) == 2 * count
    assert "What came of it" in tables(runs)
