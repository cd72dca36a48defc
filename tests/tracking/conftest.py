"""A fresh MLflow store for each test, copied from one that is created once."""

import os
import shutil
import subprocess
import sys

import pytest

from sports_clip_pipeline.tracking.run import TrackedRun
from sports_clip_pipeline.tracking.store import TrackingConfig, connect, open_store
from tests.conftest import ROOT

CONFIG = TrackingConfig(experiment="test")


def start_tracked(project, name, **tags):
    """A run in the store of a project."""
    return TrackedRun(open_store(CONFIG, project), project / "mlruns" / "running", name, tags)


def runs_of(project):
    """Every run of a project's store, by name."""
    client, experiment = open_store(CONFIG, project)
    return {run.info.run_name: run for run in client.search_runs([experiment])}


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory):
    database = tmp_path_factory.mktemp("store to copy") / "mlflow.db"
    connect(f"sqlite:///{database}").search_experiments()
    return database


@pytest.fixture
def project(tmp_path, empty_store):
    """A project folder with a store and a space in its name."""
    path = tmp_path / "a project"
    (path / "mlruns").mkdir(parents=True)
    shutil.copy(empty_store, path / "mlruns" / "mlflow.db")
    return path


@pytest.fixture
def client(project):
    """A client of the project's store."""
    return open_store(CONFIG, project)[0]


@pytest.fixture
def start(project):
    """Start a run in the project, which ends with the test."""
    runs = []

    def start_run(name="a run", **tags):
        runs.append(start_tracked(project, name, **tags))
        return runs[-1]

    yield start_run
    for run in runs:
        run.finish("FINISHED")


@pytest.fixture
def all_runs(project):
    """Every run of the project's store, by name."""
    return lambda: runs_of(project)


@pytest.fixture
def script(project):
    """Run lines of Python in their own process, with `start(name)` and `time`."""
    running = []
    head = (
        "import sys, time; from functools import partial; from pathlib import Path\n"
        "from tests.tracking.conftest import start_tracked\n"
        "start = partial(start_tracked, Path(sys.argv[1]))\n"
    )

    def run_script(lines, *, folder=project, flags=()):
        process = subprocess.Popen(
            [sys.executable, *flags, "-c", head + lines, str(folder)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            cwd=ROOT, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        )  # fmt: skip
        running.append(process)
        return process

    yield run_script
    for process in running:
        process.kill()
        process.communicate()
