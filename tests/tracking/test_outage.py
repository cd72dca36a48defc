"""An MLflow server that is killed during a run, and recording the run again."""

import time

import pytest
from mlflow import MlflowClient

from tests.small_project import make_project, run_kedro, start_kedro, wait_for
from tests.tracking.server import Server

WAIT = ("--params=finetune.wait=true",)
OWN_TAGS = ("process", "mlflow.parentRunId", "re_recorded", "mlflow.note.content")


@pytest.fixture
def server(tmp_path):
    folder = tmp_path / "server"
    folder.mkdir()
    server = Server(folder)
    server.start()
    yield server
    server.kill()


def everything(client, run_id):
    """The record of a run and its children without ids and times."""
    run = client.get_run(run_id)
    query = f"tags.`mlflow.parentRunId` = '{run_id}'"
    children = client.search_runs([run.info.experiment_id], query)
    return {
        "status": run.info.status,
        "params": run.data.params,
        "metrics": {
            name: [(point.step, point.value) for point in client.get_metric_history(run_id, name)]
            for name in run.data.metrics
        },
        "tags": {name: text for name, text in run.data.tags.items() if name not in OWN_TAGS},
        "files": [file.path for file in client.list_artifacts(run_id, "tables")],
        "children": sorted(
            (everything(client, child.info.run_id) for child in children),
            key=lambda child: child["params"]["seed"],
        ),
    }


def parents(client):
    experiment = client.get_experiment_by_name("test").experiment_id
    found = client.search_runs([experiment], "tags.pipelines = '__default__'")
    return sorted(found, key=lambda run: run.info.start_time)


def test_a_run_whose_server_is_killed_can_be_recorded_again_completely(server, tmp_path):
    project = make_project(tmp_path / "small")
    (project / "go").touch()
    environment = {"MLFLOW_TRACKING_URI": server.uri}
    code, out, err = run_kedro(project, "run", *WAIT, **environment)
    assert code == 0, err
    assert "WARNING" not in out + err
    (project / "go").unlink()

    process = start_kedro(project, "run", *WAIT, **environment)
    wait_for(process, "waiting")
    server.kill()
    (project / "go").touch()
    began_s = time.monotonic()
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert time.monotonic() - began_s < 60
    printed = " ".join((out + err).split())
    assert printed.count("could not record") == 1
    command = printed.split("recorded again by `")[1].split("`")[0].removeprefix("kedro ").split()
    assert "Traceback" not in printed
    assert (project / "data" / "curves.csv").is_file()

    server.start()
    code, _, err = run_kedro(project, *command, *WAIT, **environment)
    assert code == 0, err
    client = MlflowClient(server.uri)
    undisturbed, disturbed, again = parents(client)
    assert disturbed.info.status == "KILLED"
    assert again.data.tags["re_recorded"] == disturbed.info.run_id
    original = everything(client, undisturbed.info.run_id)
    assert everything(client, again.info.run_id) == original
    assert len(original["children"]) == 3
    assert len(original["metrics"]["finetune/loss"]) == 100
