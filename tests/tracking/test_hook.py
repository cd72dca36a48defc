"""The hooks in whole `kedro run`s of a small project."""

import signal
import subprocess
import sys
import time

import pytest
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline

from sports_clip_pipeline.hooks import CheckHooks
from tests.small_project import make_project, records_in, run_kedro, start_kedro, wait_for


@pytest.fixture
def small(tmp_path):
    """A Kedro project of two pipelines with our hooks."""
    return make_project(tmp_path / "small")


def test_a_run_is_recorded_whole_and_says_nothing_of_it(small):
    code, out, err = run_kedro(small, "run", flags=("-W", "error::UserWarning"))
    assert code == 0, err
    assert "WARNING" not in out + err
    assert "mlflow" not in (out + err).lower()
    client, runs = records_in(small)
    parent = runs["sample __default__"]
    assert parent.info.status == "FINISHED"
    assert parent.data.params == {
        "finetune.seeds": "[0, 1]",
        "finetune.fail": "false",
        "finetune.wait": "false",
    }
    assert parent.data.tags["data_digest"] == "abc"
    assert parent.data.metrics["finetune/loss"] == 1 / 99
    assert parent.data.metrics["test/zero_shot_top1"] == 0.25
    steps = client.get_metric_history(parent.info.run_id, "finetune/loss")
    assert [(metric.step, metric.value) for metric in steps] == [
        *[(0, 1.0), (1, 0.75), (2, 0.5)],
        *[(step, 1 / step) for step in range(3, 100)],
    ]
    artifacts = client.list_artifacts(parent.info.run_id, "tables")
    assert [file.path for file in artifacts] == [
        "tables/curves.csv", "tables/metrics.json", "tables/trials.csv"
    ]  # fmt: skip
    assert "| zero-shot top-1 | 25.0% |" in parent.data.tags["mlflow.note.content"]
    for seed in (0, 1):
        child = runs[f"ridge 0.1 seed {seed}"]
        assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert child.data.params["seed"] == str(seed)
        assert child.data.params["data_digest"] == "abc"


def test_the_process_of_a_run_ends_without_a_sweep(monkeypatch):
    asked = []
    monkeypatch.setattr("sports_clip_pipeline.hooks.skip_gc_at_exit", lambda: asked.append(1))
    CheckHooks().before_pipeline_run({}, Pipeline([]), DataCatalog())
    assert asked == [1]


def test_workers_of_the_parallel_runner_write_to_the_same_run(small):
    code, out, err = run_kedro(small, "run", "--runner=ParallelRunner")
    assert code == 0, out + err
    _, runs = records_in(small)
    assert {name: run.info.status for name, run in runs.items()} == dict.fromkeys(
        ["sample __default__", *(f"ridge 0.1 seed {seed}" for seed in (0, 1, 9))], "FINISHED"
    )
    assert runs["sample __default__"].data.tags["data_digest"] == "abc"
    assert runs["sample __default__"].data.metrics["finetune/loss"] == 1 / 99
    assert runs["ridge 0.1 seed 0"].data.params["data_digest"] == "abc"


def test_an_error_fails_the_run_and_keeps_its_trials(small):
    code, _, err = run_kedro(small, "run", "--params=finetune.fail=true")
    assert code == 1
    assert "the images ran out" in err.strip().splitlines()[-1]
    _, runs = records_in(small)
    assert runs["sample __default__"].info.status == "FAILED"
    assert runs["sample __default__"].data.tags["error"] == "ValueError: the images ran out"
    assert runs["ridge 0.1 seed 1"].info.status == "FINISHED"


def test_a_killed_run_is_closed_by_the_next(small):
    process = start_kedro(small, "run", "--params=finetune.wait=true")
    wait_for(process, "waiting")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    _, runs = records_in(small)
    assert runs["sample __default__"].info.status == "RUNNING"
    assert run_kedro(small, "run", "--pipelines=ingest")[0] == 0
    _, runs = records_in(small)
    assert runs["sample __default__"].info.status == "KILLED"
    assert runs["sample ingest"].info.status == "FINISHED"


def test_ctrl_c_closes_the_run_at_once(small):
    process = start_kedro(small, "run", "--params=finetune.wait=true")
    wait_for(process, "waiting")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert records_in(small)[1]["sample __default__"].info.status == "KILLED"


def test_a_mistyped_block_ends_in_one_line_and_no_record(small):
    code, _, err = run_kedro(small, "run", "--params=finetnue.seeds=1")
    assert code == 1
    assert err.strip().splitlines()[-1] == (
        "Error: --params=finetnue: finetnue is no parameter block; "
        "did you mean finetune? known are finetune, raw_dir, study"
    )
    assert not (small / "mlruns").exists()


def test_what_an_earlier_pipeline_makes_is_asked_for_in_one_line_and_no_record(small):
    code, _, err = run_kedro(small, "run", "--pipelines=finetune")
    assert code == 1
    assert err.strip().splitlines()[-1] == (
        "Error: data/audit.json: ingest_audit is missing; pipeline ingest makes it; "
        "run `kedro run --pipelines=ingest` first"
    )
    assert not (small / "mlruns").exists()


def test_a_store_that_cannot_be_opened_ends_in_one_line_before_the_work(small):
    (small / "mlruns" / "mlflow.db").mkdir(parents=True)
    began_s = time.monotonic()
    code, _, err = run_kedro(small, "run")
    assert code == 1
    last = err.strip().splitlines()[-1]
    assert last.startswith(f"Error: sqlite:///{small}/mlruns/mlflow.db: ")
    assert "mlflow.yml" in last
    assert not (small / "data").exists()
    assert time.monotonic() - began_s < 30


def test_tracking_that_is_off_leaves_nothing(small):
    (small / "conf/base/mlflow.yml").write_text("enabled: false\n")
    assert run_kedro(small, "run")[0] == 0
    assert not (small / "mlruns").exists()
    assert (small / "data/curves.csv").is_file()


def test_other_commands_do_not_import_mlflow(small):
    lines = (
        "import sys; from kedro.framework.cli.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print([name for name in ('mlflow', 'pandas', 'torch') if name in sys.modules])"
    )
    for words in (["--help"], ["registry", "list"]):
        done = subprocess.run(
            [sys.executable, "-c", lines, *words], cwd=small, capture_output=True, text=True
        )
        assert done.stdout.strip().endswith("[]"), done.stdout + done.stderr
