"""The settings of MLflow, and opening the store."""

import os
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
import yaml

from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.tracking.store import TrackingConfig, open_store
from tests.conftest import ROOT
from tests.tracking.conftest import CONFIG
from tests.tracking.server import free_port


def test_the_committed_file_holds_the_defaults():
    document = yaml.safe_load((ROOT / "conf/base/parameters_tracking.yml").read_text())
    committed = document["tracking"] | {"study": "sample"}
    assert TrackingConfig(**committed) == TrackingConfig()


@pytest.mark.parametrize(
    ("variable", "expected"),
    [("http://127.0.0.1:5001", "http://127.0.0.1:5001"), ("", "sqlite:///a.db")],
)
def test_the_environment_variable_overrides_the_store(monkeypatch, variable, expected):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", variable)
    assert TrackingConfig(uri="sqlite:///a.db").uri == expected


def test_a_password_in_the_address_is_an_error_that_does_not_repeat_it():
    with pytest.raises(UserFacingError, match="MLFLOW_TRACKING_PASSWORD") as caught:
        TrackingConfig(uri="https://me:secret@host:5000")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("uri", uri) for uri in ("mlruns", "file:///tmp/runs", "sqlite:///", "", None, 3)],
        *[("uri", uri) for uri in ("sqlite://", "sqlite:///:memory:", "ftp://a")],
        *[("enabled", "yes"), ("register_model", 1), ("experiment", ""), ("run_name", 3)],
        ("experimnt", "a"),
    ],
)
def test_an_invalid_value_is_an_error_that_names_its_field(field, value):
    with pytest.raises(UserFacingError, match=field):
        TrackingConfig(**{field: value})


def test_two_processes_create_the_store_at_once(script, tmp_path):
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    lines = "sys.stdin.readline(); run = start('r'); run.finish('FINISHED'); print(run.run_id)"
    processes = [script(lines, folder=fresh, flags=("-W", "error")) for _ in range(2)]
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    outputs = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert [err for _, err in outputs] == ["", ""]
    client, experiment = open_store(CONFIG, fresh)
    runs = client.search_runs([experiment])
    assert {run.info.run_id for run in runs} == {out.strip() for out, _ in outputs}


def test_a_relative_store_is_relative_to_the_project(project, tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    client, _ = open_store(CONFIG, project)
    assert client.tracking_uri == f"sqlite:///{project}/mlruns/mlflow.db"
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("sqlite:///folder.db", "unable to open"),
        ("sqlite:///text.db", "not a database"),
        ("sqlite:///text.db/under/it.db", r"text\.db"),
        ("sqlite:////proc/nowhere/mlflow.db", "/proc/nowhere"),
    ],
)
def test_a_store_that_cannot_be_opened_is_one_line(tmp_path, uri, message):
    (tmp_path / "folder.db").mkdir()
    (tmp_path / "text.db").write_text("no database at all\n" * 100)
    with pytest.raises(UserFacingError, match=message) as caught:
        open_store(TrackingConfig(uri=uri), tmp_path)
    assert "\n" not in str(caught.value)
    assert "tracking.uri" in str(caught.value)


def test_a_read_only_store_is_an_error(empty_store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("read only")
    for path in (folder, *folder.parents):
        if path.owner() == Path.home().owner() and path != Path("/"):
            path.chmod(path.stat().st_mode | 0o055)
    shutil.copy(empty_store, folder / "mlflow.db")
    folder.chmod(0o777)
    (folder / "mlflow.db").chmod(0o444)
    config = TrackingConfig(uri=f"sqlite:///{folder}/mlflow.db")
    user = os.geteuid()
    if user == 0:  # root may write read-only files
        os.seteuid(65534)
    try:
        with pytest.raises(UserFacingError, match="read-only"):
            open_store(config, folder)
    finally:
        os.seteuid(user)


def test_a_store_of_another_mlflow_version_is_an_error_with_the_remedy(project):
    with closing(sqlite3.connect(project / "mlruns" / "mlflow.db")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = 'abcdef012345'")
    with pytest.raises(UserFacingError, match="mlflow db upgrade"):
        open_store(CONFIG, project)


def test_a_missing_server_is_found_within_seconds(tmp_path):
    port = free_port()
    began_s = time.monotonic()
    with pytest.raises(UserFacingError, match=f"127.0.0.1:{port}: this MLflow store cannot"):
        open_store(TrackingConfig(uri=f"http://127.0.0.1:{port}"), tmp_path)
    assert time.monotonic() - began_s < 20


def test_a_moved_project_writes_artifacts_to_its_new_path(project, start, caplog):
    start().finish("FINISHED")
    moved = project.with_name("moved here")
    shutil.move(project, moved)
    client, experiment = open_store(CONFIG, moved)
    assert client.get_experiment(experiment).artifact_location == (moved / "mlartifacts").as_uri()
    assert "The project was moved" in caplog.text
    assert open_store(CONFIG, moved)[1] == experiment, "once"
    names = {found.name for found in client.search_experiments()}
    assert any(name.startswith("test, moved") for name in names), "the earlier runs are kept"
