"""The record of one run."""

import logging
import multiprocessing
import signal

import pytest
from pydantic import BaseModel

from sports_clip_pipeline.io.state import RunState
from sports_clip_pipeline.parameters import flatten
from sports_clip_pipeline.tracking.run import RECORD_COMMAND, log_batch

ROW = {
    "method": "ridge", "fraction": 0.01, "seed": 3, "labels": 63, "top1": 0.62, "macro_f1": 0.6,
    "cv_top1": 0.7, "cv_log_loss": 1.5, "elapsed_s": 0.1, "reused": True,
    "hyperparameters": '{"alpha": [0.5]}',
}  # fmt: skip


def _history(client, run, name):
    return [(point.step, point.value) for point in client.get_metric_history(run.run_id, name)]


def test_live_metrics_are_logged_with_their_steps(start, client):
    run, state = start(), RunState()
    state.attach(run)
    for step in range(3):
        state.log_metrics({"pretrain/loss": 1.0 / (step + 1), "recall@5": 0.5}, step)
    assert _history(client, run, "pretrain/loss") == [(0, 1.0), (1, 0.5), (2, pytest.approx(1 / 3))]
    assert len(_history(client, run, "recall_5")) == 3, "a name that MLflow does not take"


def test_a_trial_is_a_child_run_with_comparable_parameters_and_metrics(start, all_runs):
    run, state = start(study="sample"), RunState()
    state.attach(run)
    run.set_tags({"data_digest": "abc", "backbone": "lite2"})
    state.log_trial(ROW, "frozen")
    state.log_trial(ROW, "end_to_end")
    child = all_runs()["ridge 0.01 seed 3"]
    assert child.info.status == "FINISHED"
    assert child.data.metrics == {
        "test/top1": 0.62, "test/macro_f1": 0.6, "validation/top1": 0.7,
        "validation/log_loss": 1.5, "elapsed_s": 0.1,
    }  # fmt: skip
    assert child.data.params == {
        "method": "ridge", "fraction": "0.01", "seed": "3", "labels": "63", "plan": "frozen",
        "alpha": "[0.5]", "study": "sample", "data_digest": "abc", "backbone": "lite2",
    }  # fmt: skip
    assert child.data.tags["mlflow.parentRunId"] == run.run_id
    assert child.data.tags["reused"] == "true"
    assert all_runs()["end_to_end ridge 0.01 seed 3"].data.params["plan"] == "end_to_end"


def test_parameters_beyond_the_limit_of_one_call_are_all_logged(start, all_runs):
    start().call(log_batch, {f"block.field_{index}": str(index) for index in range(250)}, {})
    assert len(all_runs()["a run"].data.params) == 250


class Inner(BaseModel):
    rate: float = 0.5


class Block(BaseModel):
    fractions: tuple[float, ...] = (0.01, 1.0)
    inner: Inner = Inner()
    classes: dict = {"judo": {"names": ("judo",)}}
    limit: int | None = None
    text: str = "a" * 7000


def test_every_typed_field_is_one_flat_parameter(start, all_runs):
    raw = flatten("raw", {"inner": Inner(), "on": True})
    start().call(log_batch, flatten("finetune", Block()) | raw, {})
    logged = all_runs()["a run"].data.params
    assert len(logged.pop("finetune.text")) == 6000
    assert logged == {
        "finetune.fractions": "[0.01, 1.0]",
        "finetune.inner.rate": "0.5",
        "finetune.classes.judo.names": '["judo"]',
        "finetune.limit": "null",
        "raw.inner.rate": "0.5",
        "raw.on": "true",
    }


def test_a_failed_run_logs_the_error_and_ends_its_open_child(start, all_runs, monkeypatch):
    run = start()

    def interrupt(*_args, **_kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("sports_clip_pipeline.tracking.run.log_batch", interrupt)
        run.log_trial(ROW, "frozen")
    run.finish("FAILED", ValueError("no\n images"))
    runs = all_runs()
    assert {run.info.status for run in runs.values()} == {"FAILED"}
    assert len(runs) == 2
    assert runs["a run"].data.tags["error"] == "ValueError: no images"


def test_the_next_start_ends_runs_of_a_killed_process_only(script, start, all_runs):
    lines = """
run = start("killed")
run._client.create_run(run.experiment, run_name="child of killed",
                       tags={"process": run.tags["process"]})
print("ready", flush=True)
time.sleep(60)
"""
    process, living = script(lines), script(lines.replace("killed", "alive"))
    assert process.stdout.readline() == living.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert all_runs()["child of killed"].info.status == "RUNNING"
    start("next").finish("FINISHED")
    assert {name: run.info.status for name, run in all_runs().items()} == {
        "killed": "KILLED", "child of killed": "KILLED",
        "alive": "RUNNING", "child of alive": "RUNNING", "next": "FINISHED",
    }  # fmt: skip


def test_a_forked_worker_writes_to_the_same_run_and_cannot_close_it(start, all_runs, client):
    def work(run):
        run.log_metrics({"from/worker": 2.0}, 5)
        run.log_trial(ROW, "frozen")
        run.finish("FINISHED")

    run = start()
    worker = multiprocessing.get_context("fork").Process(target=work, args=(run,))
    worker.start()
    worker.join()
    assert worker.exitcode == 0
    assert _history(client, run, "from/worker") == [(5, 2.0)]
    runs = all_runs()
    assert runs["a run"].info.status == "RUNNING"
    assert runs["ridge 0.01 seed 3"].info.status == "FINISHED"


def test_a_store_that_breaks_warns_once_and_its_run_is_closed_by_the_next(
    start, project, caplog, all_runs
):
    run = start("lost")
    run.log_metrics({"loss": 0.5}, 1)
    database = project / "mlruns" / "mlflow.db"
    content = database.read_bytes()
    database.write_bytes(b"no database at all\n" * 100)
    with caplog.at_level(logging.WARNING):
        run.log_trial(ROW, "frozen")
        run.log_metrics({"loss": 0.25}, 2)
        run.finish("FINISHED")
    (message,) = [item.getMessage() for item in caplog.records if "sports_clip" in item.name]
    assert run.run_id in message
    assert RECORD_COMMAND in message
    database.write_bytes(content)
    start("next")
    assert all_runs()["lost"].info.status == "KILLED"
