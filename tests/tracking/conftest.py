"""A fresh MLflow store for each test, copied from one that is made once."""

import os
import shutil
import subprocess
import sys

import pytest

from sports_clip_pipeline.tracking.run import TrackedRun
from sports_clip_pipeline.tracking.store import TrackingConfig, connect, open_store

CONFIG = TrackingConfig(experiment="test")


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory):
    database = tmp_path_factory.mktemp("store to copy") / "mlflow.db"
    connect(f"sqlite:///{database}").search_experiments()
    return database


@pytest.fixture
def project(tmp_path, empty_store):
    """A project folder with a store; its name has a space in it."""
    place = tmp_path / "a project"
    (place / "mlruns").mkdir(parents=True)
    shutil.copy(empty_store, place / "mlruns" / "mlflow.db")
    return place


@pytest.fixture
def client(project):
    """A client of the project's store."""
    return open_store(CONFIG, project)[0]


@pytest.fixture
def start(project):
    """Start a run in the project; what a test leaves open is closed."""
    runs = []

    def start_run(name="a run", **tags):
        locks = project / "mlruns" / "running"
        runs.append(TrackedRun(open_store(CONFIG, project), locks, name, tags))
        return runs[-1]

    yield start_run
    for run in runs:
        run.finish("FINISHED")


@pytest.fixture
def all_runs(project):
    """Every run of the project's store, by name."""

    def read():
        client, experiment = open_store(CONFIG, project)
        return {run.info.run_name: run for run in client.search_runs([experiment])}

    return read


@pytest.fixture
def script(project):
    """Start Python on a few lines, in a process of its own; `project` is known to them."""
    running = []
    head = (
        "import os, signal, sys, time\n"
        "from pathlib import Path\n"
        "from sports_clip_pipeline.tracking.run import TrackedRun\n"
        "from sports_clip_pipeline.tracking.store import TrackingConfig, open_store\n"
        "project, config = Path(sys.argv[1]), TrackingConfig(experiment='test')\n"
        "def start(name, **tags):\n"
        "    locks = project / 'mlruns' / 'running'\n"
        "    return TrackedRun(open_store(config, project), locks, name, tags)\n"
    )

    def run_script(lines, *, folder=project, flags=()):
        process = subprocess.Popen(
            [sys.executable, *flags, "-c", head + lines, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        )
        running.append(process)
        return process

    yield run_script
    for process in running:
        process.kill()
        process.communicate()
