"""The hooks in whole `kedro run`s of a small project."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from sports_clip_pipeline.config.tracking import TrackingConfig
from sports_clip_pipeline.tracking.store import connect, open_store

FILES = {
    "pyproject.toml": """
        [tool.kedro]
        package_name = "small_project"
        project_name = "small"
        kedro_init_version = "1.7.0"
        source_dir = "src"
        """,
    ".telemetry": "consent: false\n",
    "conf/local/.gitkeep": "",
    "conf/base/globals.yml": "study: sample\n",
    "conf/base/mlflow.yml": "tracking: {experiment: {name: test}}\n",
    "conf/base/parameters.yml": "finetune: {seeds: [0, 1], fail: false, wait: false}\n",
    "conf/base/catalog.yml": """
        finetune_journal:
          type: sports_clip_pipeline.datasets.JournalDataset
          filepath: data/journal
        ingest_audit:
          type: sports_clip_pipeline.datasets.JsonDocument
          filepath: data/audit.json
        curves:
          type: sports_clip_pipeline.datasets.CsvTable
          filepath: data/curves.csv
          save_args: {index: false}
          metadata: {mlflow: {artifact: tables}}
        metrics:
          type: sports_clip_pipeline.datasets.JsonDocument
          filepath: data/metrics.json
          metadata: {mlflow: {artifact: tables, metrics: ''}}
        """,
    "src/small_project/__init__.py": "",
    "src/small_project/cli.py": "from sports_clip_pipeline.cli import cli, run\n",
    "src/small_project/settings.py": """
        from sports_clip_pipeline.hooks import GuardHooks, TrackingHooks
        HOOKS = (GuardHooks(), TrackingHooks())
        CONFIG_LOADER_ARGS = {
            "base_env": "base",
            "default_run_env": "local",
            "config_patterns": {"mlflow": ["mlflow*"]},
        }
        """,
    "src/small_project/pipeline_registry.py": """
        import time
        from dataclasses import dataclass
        from kedro.pipeline import Pipeline, node

        @dataclass(frozen=True)
        class Finetune:
            seeds: list
            fail: bool
            wait: bool

        def ingest():
            return {"data_digest": "abc"}

        def finetune(audit: object, finetune: Finetune, journal: object):
            import pandas as pd
            for step in range(3):
                journal.log_metrics({"finetune/loss": 1.0 - step / 4}, step)
            for seed in finetune.seeds:
                journal.log_arm(f"arm {seed}", {"seed": seed}, {"test/top1": 0.5}, {})
            if finetune.fail:
                raise ValueError("the images ran out")
            if finetune.wait:
                print("waiting", flush=True)
                time.sleep(60)
            return pd.DataFrame({"top1": [0.5]}), {"zero_shot": {"top1": 0.25}}

        def register_pipelines():
            parts = {
                "ingest": Pipeline([node(ingest, None, "ingest_audit", name="ingest")]),
                "finetune": Pipeline([node(
                    finetune,
                    ["ingest_audit", "params:finetune", "finetune_journal"],
                    ["curves", "metrics"],
                    name="finetune",
                )]),
            }
            return {**parts, "__default__": parts["ingest"] + parts["finetune"]}
        """,
}


@pytest.fixture
def small(tmp_path):
    """A Kedro project of two pipelines with our hooks."""
    for name, text in FILES.items():
        path = tmp_path / "small" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip())
    return tmp_path / "small"


def _start(folder, *words, flags=()):
    return subprocess.Popen(
        [sys.executable, *flags, "-m", "kedro", *words],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "DO_NOT_TRACK": "1", "COLUMNS": "400", "PYTHONUNBUFFERED": "1"},
    )


def _run(folder, *words, flags=()):
    process = _start(folder, *words, flags=flags)
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def _records(folder):
    store = open_store(TrackingConfig(experiment="test"), folder)
    client = connect(store.uri)
    return client, {run.info.run_name: run for run in client.search_runs([store.experiment_id])}


def test_a_run_is_recorded_whole_and_says_nothing_of_it(small):
    code, out, err = _run(small, "run", flags=("-W", "error::UserWarning"))
    assert code == 0, err
    assert "WARNING" not in out + err
    assert "mlflow" not in (out + err).lower()
    client, runs = _records(small)
    parent = runs["sample __default__"]
    assert parent.info.status == "FINISHED"
    assert parent.data.params == {
        "finetune.seeds": "[0, 1]",
        "finetune.fail": "false",
        "finetune.wait": "false",
    }
    assert parent.data.tags["data_digest"] == "abc"
    assert parent.data.metrics == {"finetune/loss": 0.5, "zero_shot/top1": 0.25}
    steps = client.get_metric_history(parent.info.run_id, "finetune/loss")
    assert [(metric.step, metric.value) for metric in steps] == [(0, 1.0), (1, 0.75), (2, 0.5)]
    artifacts = client.list_artifacts(parent.info.run_id, "tables")
    assert [file.path for file in artifacts] == ["tables/curves.csv", "tables/metrics.json"]
    for seed in (0, 1):
        child = runs[f"arm {seed}"]
        assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert child.data.params == {
            "seed": str(seed), "study": "sample", "data_digest": "abc"
        }  # fmt: skip


def test_workers_of_the_parallel_runner_write_to_the_same_run(small):
    code, out, err = _run(small, "run", "--runner=ParallelRunner")
    assert code == 0, out + err
    _, runs = _records(small)
    assert {name: run.info.status for name, run in runs.items()} == dict.fromkeys(
        ["sample __default__", "arm 0", "arm 1"], "FINISHED"
    )
    assert runs["sample __default__"].data.tags["data_digest"] == "abc"
    assert runs["sample __default__"].data.metrics["finetune/loss"] == 0.5
    assert runs["arm 0"].data.params["data_digest"] == "abc"


def test_an_error_fails_the_run_and_keeps_its_arms(small):
    code, _, err = _run(small, "run", "--params=finetune.fail=true")
    assert code == 1
    assert "the images ran out" in err.strip().splitlines()[-1]
    _, runs = _records(small)
    assert runs["sample __default__"].info.status == "FAILED"
    assert runs["sample __default__"].data.tags["error"] == "ValueError: the images ran out"
    assert runs["arm 1"].info.status == "FINISHED"


def test_a_killed_run_is_closed_by_the_next(small):
    process = _start(small, "run", "--params=finetune.wait=true")
    _wait_for(process, "waiting")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    _, runs = _records(small)
    assert runs["sample __default__"].info.status == "RUNNING"
    assert _run(small, "run", "--pipelines=ingest")[0] == 0
    _, runs = _records(small)
    assert runs["sample __default__"].info.status == "KILLED"
    assert runs["sample ingest"].info.status == "FINISHED"


def test_ctrl_c_closes_the_run_at_once(small):
    process = _start(small, "run", "--params=finetune.wait=true")
    _wait_for(process, "waiting")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert _records(small)[1]["sample __default__"].info.status == "KILLED"


def test_a_mistyped_block_ends_in_one_line_and_no_record(small):
    code, _, err = _run(small, "run", "--params=finetnue.seeds=1")
    assert code == 1
    assert err.strip().splitlines()[-1] == (
        "Error: --params=finetnue: finetnue is no parameter block; "
        "did you mean finetune? known are finetune, raw_dir, study"
    )
    assert not (small / "mlruns").exists()


def test_what_an_earlier_pipeline_makes_is_asked_for_in_one_line_and_no_record(small):
    code, _, err = _run(small, "run", "--pipelines=finetune")
    assert code == 1
    assert err.strip().splitlines()[-1] == (
        "Error: data/audit.json: ingest_audit is missing; pipeline ingest makes it; "
        "run `kedro run --pipelines=ingest` first"
    )
    assert not (small / "mlruns").exists()


def test_a_store_that_cannot_be_opened_ends_in_one_line_before_the_work(small):
    (small / "mlruns" / "mlflow.db").mkdir(parents=True)
    began_s = time.monotonic()
    code, _, err = _run(small, "run")
    assert code == 1
    last = err.strip().splitlines()[-1]
    assert last.startswith(f"Error: sqlite:///{small}/mlruns/mlflow.db: ")
    assert "mlflow.yml" in last
    assert not (small / "data").exists()
    assert time.monotonic() - began_s < 30


def test_tracking_that_is_off_leaves_nothing(small):
    (small / "conf/base/mlflow.yml").write_text("tracking: {enabled: false}\n")
    assert _run(small, "run")[0] == 0
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


def _wait_for(process, word):
    for line in process.stdout:
        if word in line:
            return
    pytest.fail(process.stderr.read())
