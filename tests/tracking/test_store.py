"""Opening the store."""

import os
import shutil
import socket
import sqlite3
import tempfile
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from sports_clip_pipeline.config.tracking import TrackingConfig
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.tracking.store import (
    artifact_root,
    connect,
    open_store,
    resolve_uri,
    sqlite_path,
)
from tests.tracking.conftest import CONFIG


def test_a_relative_path_is_taken_from_the_project():
    project = Path("/srv/clip")
    assert resolve_uri("sqlite:///a/b.db", project) == "sqlite:////srv/clip/a/b.db"
    assert resolve_uri("sqlite:////else/b.db", project) == "sqlite:////else/b.db"
    assert resolve_uri("http://host:5000/", project) == "http://host:5000"
    assert sqlite_path("http://host:5000") is None


def test_two_processes_create_the_store_at_once(script, tmp_path):
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    lines = "sys.stdin.readline(); run = start('r'); run.finish('FINISHED'); print(run.run_id)"
    processes = [script(lines, folder=fresh) for _ in range(2)]
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    assert [error for _, error in said] == ["", ""]
    store = open_store(CONFIG, fresh)
    found = connect(store.uri).search_runs([store.experiment_id])
    assert {run.info.run_id for run in found} == {out.strip() for out, _ in said}


def test_creating_says_nothing_warns_of_nothing_and_leaves_the_working_folder_alone(
    script, tmp_path, monkeypatch
):
    fresh, elsewhere = tmp_path / "fresh", tmp_path / "elsewhere"
    fresh.mkdir()
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    lines = "start('r').finish('FINISHED')"
    process = script(lines, folder=fresh, flags=("-W", "error"))
    assert process.communicate() == ("", "")
    assert process.returncode == 0
    assert list(elsewhere.iterdir()) == []
    assert (fresh / "mlruns" / "mlflow.db").is_file()


@pytest.mark.parametrize(
    ("uri", "named"),
    [
        ("sqlite:///folder.db", "is a folder"),
        ("sqlite:///text.db", "not a database"),
        ("sqlite:///text.db/under/it.db", r"text\.db"),
        ("sqlite:////proc/nowhere/mlflow.db", "/proc/nowhere"),
    ],
)
def test_a_store_that_cannot_be_opened_is_told_in_one_line(tmp_path, uri, named):
    (tmp_path / "folder.db").mkdir()
    (tmp_path / "text.db").write_text("no database at all\n" * 100)
    with pytest.raises(UserFacingError, match=named) as caught:
        open_store(TrackingConfig(uri=uri), tmp_path)
    line = str(caught.value)
    assert "\n" not in line
    assert resolve_uri(uri, tmp_path) in line
    assert "mlflow.yml" in line


@pytest.mark.parametrize("read_only", ["mlflow.db", "mlflow.db.lock"])
def test_a_read_only_store_is_refused(store_to_copy, read_only):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copy(store_to_copy, folder / "mlflow.db")
        (folder / "mlflow.db.lock").touch()
        for path in (folder, *folder.iterdir()):
            path.chmod(0o777)
        (folder / read_only).chmod(0o444)
        config = TrackingConfig(uri=f"sqlite:///{folder}/mlflow.db")
        with _not_as_root(), pytest.raises(UserFacingError, match=r"readonly|Permission denied"):
            open_store(config, folder)


@contextmanager
def _not_as_root():
    """Root may write what is read-only; another user may not."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


def test_a_store_of_another_mlflow_is_refused_with_the_way_out(project):
    with closing(sqlite3.connect(project / "mlruns" / "mlflow.db")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = 'abcdef012345'")
    with pytest.raises(UserFacingError, match="mlflow db upgrade"):
        open_store(CONFIG, project)


def test_a_server_that_is_not_there_is_told_at_once(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(UserFacingError, match=f"127.0.0.1:{port}: no MLflow server answers"):
        open_store(TrackingConfig(uri=f"http://127.0.0.1:{port}"), tmp_path)


def test_a_deleted_experiment_is_refused(project):
    store = open_store(CONFIG, project)
    connect(store.uri).delete_experiment(store.experiment_id)
    with pytest.raises(UserFacingError, match="'test' was deleted"):
        open_store(CONFIG, project)


def test_files_follow_a_project_that_moved(project, start):
    run = start()
    run.log_text("a\n", "tables/a.csv")
    run.finish("FINISHED")
    moved = project.with_name("moved here")
    shutil.move(project, moved)
    store = open_store(CONFIG, moved)
    client = connect(store.uri)
    assert [file.path for file in client.list_artifacts(run.run_id, "tables")] == ["tables/a.csv"]
    assert client.get_experiment(store.experiment_id).artifact_location == (
        artifact_root(moved).as_uri()
    )
