"""A real server that goes away in mid-run, and what the upload makes of it."""

import shutil
import time

import pytest

from sports_clip_pipeline.config.tracking import TrackingConfig
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.tracking.run import TrackedRun
from sports_clip_pipeline.tracking.store import connect, life_folder, open_store, outbox_folder
from sports_clip_pipeline.tracking.upload import upload_all
from tests.small_project import make_project, run_kedro, start_kedro, wait_for
from tests.tracking.server import Server

ALL = ("--params=finetune.wait=true",)
OWN_TAGS = ("record", "process", "mlflow.parentRunId")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("server"))
    server.start()
    yield server
    server.kill()


def everything(client, run_id):
    """All that MLflow has of a run and its children, without ids and times."""
    run = client.get_run(run_id)
    children = client.search_runs(
        [run.info.experiment_id], f"tags.`mlflow.parentRunId` = '{run_id}'"
    )
    return {
        "status": run.info.status,
        "params": run.data.params,
        "metrics": {
            name: [(point.step, point.value) for point in client.get_metric_history(run_id, name)]
            for name in run.data.metrics
        },
        "tags": {
            name: value
            for name, value in run.data.tags.items()
            if name not in OWN_TAGS and name != "mlflow.note.content"
        },
        "files": sorted(_files(client, run_id)),
        "children": {
            child.info.run_name: everything(client, child.info.run_id) for child in children
        },
        "of children": len(children),
    }


def _files(client, run_id, folder=None):
    for file in client.list_artifacts(run_id, folder):
        if file.is_dir:
            yield from _files(client, run_id, file.path)
        else:
            yield file.path


def parents(client):
    experiment = client.get_experiment_by_name("test").experiment_id
    found = client.search_runs([experiment], "tags.pipelines = '__default__'")
    return [run.info.run_id for run in sorted(found, key=lambda run: run.info.start_time)]


def test_a_run_whose_server_is_killed_is_whole_after_the_upload(server, tmp_path):
    project = make_project(tmp_path / "small")
    (project / "go").touch()
    environment = {"MLFLOW_TRACKING_URI": server.uri}
    code, out, err = run_kedro(project, "run", *ALL, **environment)
    assert code == 0, err
    assert "WARNING" not in out + err
    (project / "go").unlink()

    process = start_kedro(project, "run", *ALL, **environment)
    wait_for(process, "waiting")
    server.kill()
    (project / "go").touch()
    began_s = time.monotonic()
    out, err = process.communicate(timeout=90)
    assert process.returncode == 0, err
    assert time.monotonic() - began_s < 30
    told = " ".join((out + err).split())
    assert told.count("could not record") == 1
    assert "python -m sports_clip_pipeline.tracking.upload" in told
    assert "Traceback" not in told
    assert (project / "data" / "curves.csv").is_file()

    with pytest.raises(UserFacingError, match=f"{server.uri}: no MLflow server answers") as caught:
        upload_all(project)
    assert "\n" not in str(caught.value)
    shutil.copytree(outbox_folder(project), tmp_path / "copy")
    server.start()
    said = []
    assert upload_all(project, said.append) == 0
    assert "is whole" in said[0]
    client = connect(server.uri)
    undisturbed, disturbed = (everything(client, run) for run in parents(client))
    assert disturbed == undisturbed
    assert undisturbed["of children"] == 3
    assert len(undisturbed["metrics"]["finetune/loss"]) == 100
    assert "comparison/comparison.html" in undisturbed["files"]

    assert upload_all(project, said.append) == 0
    assert "nothing waits" in said[-1]
    shutil.copytree(tmp_path / "copy", outbox_folder(project), dirs_exist_ok=True)
    assert upload_all(project, said.append) == 0
    assert everything(client, parents(client)[1]) == undisturbed


def test_a_killed_run_of_a_gone_server_is_closed_by_the_upload(server, script, tmp_path):
    lines = f"""
config = TrackingConfig(experiment="test", uri="{server.uri}")
run = start("lost", study="s")
print("ready", flush=True)
sys.stdin.readline()
run.log_metrics({{"loss": 0.5}}, 3)
run.flush()
while not list((project / "mlruns" / "outbox").glob("*/*.jsonl")):
    time.sleep(0.05)
os.kill(os.getpid(), signal.SIGKILL)
"""
    project = tmp_path / "project"
    process = script(lines, folder=project)
    assert process.stdout.readline() == "ready\n"
    server.kill()
    process.stdin.write("go\n")
    process.stdin.flush()
    process.wait(timeout=60)
    server.start()
    assert upload_all(project, lambda line: None) == 0
    client = connect(server.uri)
    experiment = client.get_experiment_by_name("test").experiment_id
    (run,) = client.search_runs([experiment], "attributes.run_name = 'lost'")
    assert (run.info.status, run.data.metrics) == ("KILLED", {"loss": 0.5})


def test_a_running_record_is_left_alone(server, tmp_path):
    config = TrackingConfig(experiment="test", uri=server.uri)
    run = TrackedRun(open_store(config, tmp_path), life_folder(tmp_path), "running", {})
    folder = outbox_folder(tmp_path) / run.record
    folder.mkdir(parents=True)
    (folder / "a.jsonl").write_text("")
    said = []
    assert upload_all(tmp_path, said.append) == 1
    assert "still goes on" in said[0]
    run.finish("FINISHED")
