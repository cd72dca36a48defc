"""The record of one run."""

import logging
import multiprocessing
import signal

import pytest
from pydantic import BaseModel

from sports_clip_pipeline.io.state import RunState
from sports_clip_pipeline.tracking.run import RECORD_COMMAND, flatten, log_batch

ROW = {
    "method": "ridge", "fraction": 0.01, "seed": 3, "labels": 63, "top1": 0.62, "macro_f1": 0.6,
    "cv_top1": 0.7, "cv_log_loss": 1.5, "elapsed_s": 0.1, "reused": True,
    "hyperparameters": '{"alpha": [0.5]}',
}  # fmt: skip


def _history(client, run, name):
    return [(point.step, point.value) for point in client.get_metric_history(run.run_id, name)]


def test_live_metrics_come_with_their_steps_through_a_journal(start, client):
    run, journal = start(), RunState()
    journal.attach(run)
    for step in range(3):
        journal.log_metrics({"pretrain/loss": 1.0 / (step + 1), "recall@5": 0.5}, step)
    assert _history(client, run, "pretrain/loss") == [(0, 1.0), (1, 0.5), (2, pytest.approx(1 / 3))]
    assert len(_history(client, run, "recall_5")) == 3, "a name that MLflow does not take"


def test_a_trial_is_a_child_with_what_it_takes_to_compare_it(start, all_runs):
    run, journal = start(study="sample"), RunState()
    journal.attach(run)
    run.set_tags({"data_digest": "abc", "backbone": "lite2"})
    journal.log_trial(ROW, "frozen")
    journal.log_trial(ROW, "end_to_end")
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


def test_parameters_beyond_one_call_are_all_there(start, all_runs):
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


def test_every_typed_field_is_one_flat_parameter():
    flat = flatten("finetune", Block())
    assert len(flat.pop("finetune.text")) == 6000
    assert flat == {
        "finetune.fractions": "[0.01, 1.0]",
        "finetune.inner.rate": "0.5",
        "finetune.classes": '{"judo": {"names": ["judo"]}}',
        "finetune.limit": "null",
    }
    assert flatten("raw", {"inner": Inner(), "on": True}) == {
        "raw.inner.rate": "0.5",
        "raw.on": "true",
    }


def test_a_failed_run_says_why_and_closes_the_child_it_left_open(start, all_runs, monkeypatch):
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


def test_the_next_start_kills_what_a_killed_process_left(script, start, all_runs):
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
        "killed": "KILLED",
        "child of killed": "KILLED",
        "alive": "RUNNING",
        "child of alive": "RUNNING",
        "next": "FINISHED",
    }


def test_ctrl_c_kills_the_run(script, all_runs):
    lines = """
run = start("interrupted")
run.log_metrics({"loss": 0.5}, 7)
print("ready", flush=True)
time.sleep(60)
"""
    process = script(lines)
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    process.wait()
    run = all_runs()["interrupted"]
    assert run.info.status == "KILLED"
    assert run.data.metrics == {"loss": 0.5}


def test_a_forked_worker_writes_to_the_same_run_and_cannot_close_it(start, all_runs, client):
    run = start()
    worker = multiprocessing.get_context("fork").Process(target=_work, args=(run,))
    worker.start()
    worker.join()
    assert worker.exitcode == 0
    assert _history(client, run, "from/worker") == [(5, 2.0)]
    runs = all_runs()
    assert runs["a run"].info.status == "RUNNING"
    assert runs["ridge 0.01 seed 3"].info.status == "FINISHED"


def _work(run):
    run.log_metrics({"from/worker": 2.0}, 5)
    run.log_trial(ROW, "frozen")
    run.finish("FINISHED")


def test_a_store_that_breaks_warns_once_and_its_run_is_closed_by_the_next(
    start, project, caplog, all_runs
):
    run = start("lost")
    run.log_metrics({"loss": 0.5}, 1)
    whole = (project / "mlruns" / "mlflow.db").read_bytes()
    (project / "mlruns" / "mlflow.db").write_bytes(b"no database at all\n" * 100)
    with caplog.at_level(logging.WARNING):
        run.log_trial(ROW, "frozen")
        run.log_metrics({"loss": 0.25}, 2)
        run.finish("FINISHED")
    told = [record.getMessage() for record in caplog.records if "sports_clip" in record.name]
    assert len(told) == 1
    assert run.run_id in told[0]
    assert RECORD_COMMAND in told[0]
    (project / "mlruns" / "mlflow.db").write_bytes(whole)
    start("next")
    assert all_runs()["lost"].info.status == "KILLED"
