"""The record of one run."""

import logging
import multiprocessing
import pickle
import signal

import pytest

from sports_clip_pipeline.journal import Journal
from sports_clip_pipeline.tracking.run import DATA_TAG, PROCESS_TAG
from sports_clip_pipeline.tracking.store import connect
from sports_clip_pipeline.tracking.upload import upload_all


def _history(run, name):
    found = connect(run.store.uri).get_metric_history(run.run_id, name)
    return [(metric.step, metric.value) for metric in found]


def test_live_metrics_come_with_their_steps_through_a_journal(start):
    run, journal = start(), Journal()
    journal.attach(run)
    for step in range(3):
        journal.log_metrics({"pretrain/loss": 1.0 / (step + 1)}, step)
    run.flush()
    assert _history(run, "pretrain/loss") == [(0, 1.0), (1, 0.5), (2, pytest.approx(1 / 3))]


def test_metrics_are_written_in_batches_of_fifty(start, monkeypatch):
    run, sizes = start(), []
    real = run.client.log_batch
    monkeypatch.setattr(
        run.client, "log_batch", lambda *a, **k: (sizes.append(len(k["metrics"])), real(*a, **k))
    )
    run._flushed_s = float("inf")
    for step in range(120):
        run.log_metrics({"loss": float(step)}, step)
    assert sizes[:1] == [50]
    run.finish("FINISHED")
    assert sum(sizes) == 120
    assert len(_history(run, "loss")) == 120


def test_a_metric_is_seen_within_two_seconds_of_the_next(start):
    run = start()
    run._flushed_s -= 2
    run.log_metrics({"loss": 1.0}, 1)
    assert _history(run, "loss") == [(1, 1.0)]


def test_an_arm_is_a_child_with_what_it_takes_to_compare_it(start, all_runs):
    run = start(study="sample")
    run.set_tag(DATA_TAG, "abc")
    params = {"method": "logreg", "fraction": 0.01, "seed": 3, "tower": "lite2"}
    run.log_arm("logreg 0.01 #3", params, {"test/top1": 0.62}, {"reused": "true"})
    child = all_runs()["logreg 0.01 #3"]
    assert child.info.status == "FINISHED"
    assert child.data.metrics == {"test/top1": 0.62}
    texts = {"method": "logreg", "fraction": "0.01", "seed": "3", "tower": "lite2"}
    assert child.data.params == {**texts, "study": "sample", DATA_TAG: "abc"}
    assert child.data.tags["mlflow.parentRunId"] == run.run_id
    assert child.data.tags["reused"] == "true"


def test_parameters_beyond_one_call_are_all_there(start, all_runs):
    run = start()
    run.log_params({f"block.field_{index}": str(index) for index in range(250)})
    assert len(all_runs()["a run"].data.params) == 250


def test_a_failed_run_says_why_and_closes_the_child_it_left_open(start, all_runs, monkeypatch):
    run = start()

    def interrupt(*_args, **_kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(run.client, "log_batch", interrupt)
        run.log_arm("half an arm", {"seed": 0}, {"test/top1": 0.5}, {})
    run.finish("FAILED", ValueError("no\n images"))
    runs = all_runs()
    assert {name: run.info.status for name, run in runs.items()} == {
        "a run": "FAILED",
        "half an arm": "FAILED",
    }
    assert runs["a run"].data.tags["error"] == "ValueError: no images"


def test_the_next_start_kills_what_a_killed_process_left(script, start, all_runs):
    lines = """
run = start("killed")
run.client.create_run(run.store.experiment_id, run_name="its child",
                      tags={"mlflow.parentRunId": run.run_id, "process": run.tags["process"]})
print("ready", flush=True)
time.sleep(60)
"""
    process, living = script(lines), script(lines.replace("killed", "alive"))
    assert process.stdout.readline() == living.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    start("next").finish("FINISHED")
    runs = all_runs()
    assert runs["killed"].info.status == "KILLED"
    assert runs["killed"].info.end_time is not None
    assert runs["alive"].info.status == "RUNNING"
    assert runs["next"].info.status == "FINISHED"
    processes = {runs[name].data.tags[PROCESS_TAG] for name in ("killed", "alive", "next")}
    assert len(processes) == 3


def test_children_of_a_killed_process_are_killed_with_it(script, start, all_runs):
    lines = """
run = start("parent")
run.client.create_run(run.store.experiment_id, run_name="child",
                      tags={"mlflow.parentRunId": run.run_id, "process": run.tags["process"]})
os.kill(os.getpid(), signal.SIGKILL)
"""
    script(lines).wait()
    assert all_runs()["child"].info.status == "RUNNING"
    start("next")
    assert {name: all_runs()[name].info.status for name in ("parent", "child")} == {
        "parent": "KILLED",
        "child": "KILLED",
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


def test_a_forked_worker_writes_to_the_same_run_and_cannot_close_it(start, all_runs):
    run = start()
    run.log_metrics({"from/parent": 1.0}, 0)
    fork = multiprocessing.get_context("fork")
    worker = fork.Process(target=_work, args=(run,))
    worker.start()
    worker.join()
    assert worker.exitcode == 0
    run.flush()
    assert _history(run, "from/worker") == [(5, 2.0)]
    assert _history(run, "from/parent") == [(0, 1.0)]
    runs = all_runs()
    assert runs["a run"].info.status == "RUNNING"
    assert runs["arm"].info.status == "FINISHED"


def _work(run):
    run.log_metrics({"from/worker": 2.0}, 5)
    run.log_arm("arm", {"seed": 1}, {"test/top1": 0.5}, {})
    run.finish("FINISHED")


def test_a_pickled_copy_writes_to_the_same_run(start):
    run = start()
    copy = pickle.loads(pickle.dumps(run))
    copy.log_metrics({"loss": 1.0}, 0)
    copy.flush()
    assert _history(run, "loss") == [(0, 1.0)]


def test_a_store_that_breaks_under_way_warns_once_and_is_whole_after_the_upload(
    start, project, caplog, all_runs
):
    run = start()
    run.log_metrics({"loss": 0.5}, 1)
    run.flush()
    whole = (project / "mlruns" / "mlflow.db").read_bytes()
    (project / "mlruns" / "mlflow.db").write_bytes(b"no database at all\n" * 100)
    with caplog.at_level(logging.WARNING):
        run.log_arm("a", {"seed": 0}, {"test/top1": 0.5}, {})
        run.log_arm("b", {"seed": 1}, {"test/top1": 0.5}, {})
        run.finish("FINISHED")
    told = [record.getMessage() for record in caplog.records if "sports_clip" in record.name]
    assert len(told) == 1
    assert "could not record arm a" in told[0]
    (project / "mlruns" / "mlflow.db").write_bytes(whole)
    assert upload_all(project, lambda line: None) == 0
    assert {name: found.info.status for name, found in all_runs().items()} == dict.fromkeys(
        ["a run", "a", "b"], "FINISHED"
    )


def test_a_run_that_could_be_closed_nowhere_is_killed_by_the_next_start(start, project, all_runs):
    run = start("lost")
    (project / "mlruns" / "outbox").write_text("in the way")
    store = project / "mlruns" / "mlflow.db"
    whole = store.read_bytes()
    store.write_bytes(b"no database at all\n" * 100)
    run.finish("FINISHED")
    store.write_bytes(whole)
    start("next")
    assert all_runs()["lost"].info.status == "KILLED"


def test_a_name_that_no_metric_can_have_is_replaced(start, all_runs):
    run = start()
    run.log_metrics({"recall@5": 0.5}, 0)
    run.flush()
    assert list(all_runs()["a run"].data.metrics.values()) == [0.5]
