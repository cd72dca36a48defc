"""The tracking hook in `kedro run`s of a small project."""

import signal

import pytest

from tests.small_project import make_project, records_in, run_kedro, start_kedro, wait_for

MISSING = (
    "data/audit.json: ingest_audit is missing; pipeline ingest makes it; "
    "run `kedro run --pipelines=ingest` first"
)


@pytest.fixture
def small(tmp_path):
    """A Kedro project of two pipelines with our hooks."""
    return make_project(tmp_path / "small")


def test_a_run_is_recorded_completely_and_silently(small):
    code, out, err = run_kedro(small, "run", flags=("-W", "error::UserWarning"))
    assert code == 0, err
    assert "WARNING" not in out + err
    assert "mlflow" not in (out + err).lower()
    client, runs = records_in(small)
    parent = runs["sample __default__"]
    assert parent.info.status == "FINISHED"
    params = {"seeds": "[0, 1]", "fail": "false", "wait": "false"}
    assert parent.data.params == {f"finetune.{name}": value for name, value in params.items()}
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
    assert "| `test/zero_shot_top1` | 25.0% |" in parent.data.tags["mlflow.note.content"]
    for seed in (0, 1):
        child = runs[f"ridge 0.1 seed {seed}"]
        assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert child.data.params["seed"] == str(seed)
        assert child.data.params["data_digest"] == "abc"


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


def test_ctrl_c_closes_the_run_at_once(small):
    process = start_kedro(small, "run", "--params=finetune.wait=true")
    wait_for(process, "waiting")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=120)
    assert records_in(small)[1]["sample __default__"].info.status == "KILLED"


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        (
            "--params=finetnue.seeds=1",
            "--params=finetnue: finetnue is no parameter block; "
            "did you mean finetune? known are finetune, raw_dir, study, tracking",
        ),
        ("--pipelines=finetune", MISSING),
        ("--pipeline=finetune", MISSING),
    ],
)
def test_a_failed_check_ends_in_one_line_and_no_record(small, argument, message):
    code, out, err = run_kedro(small, "run", argument)
    assert code == 1
    assert "eprecat" not in out + err, "--pipeline is an alias of this project"
    assert err.strip().splitlines()[-1] == f"Error: {message}"
    assert not (small / "mlruns").exists()


def test_a_store_that_cannot_be_opened_ends_in_one_line_before_the_work(small):
    (small / "mlruns" / "mlflow.db").mkdir(parents=True)
    code, _, err = run_kedro(small, "run")
    assert code == 1
    line = err.strip().splitlines()[-1]
    assert line.startswith(f"Error: sqlite:///{small}/mlruns/mlflow.db: ")
    assert "tracking.uri" in line
    assert not (small / "data").exists()


def test_disabled_tracking_writes_no_store(small):
    assert run_kedro(small, "run", "--params=tracking.enabled=false")[0] == 0
    assert not (small / "mlruns").exists()
    assert (small / "data/curves.csv").is_file()
