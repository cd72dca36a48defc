"""A fresh MLflow store for each test, copied from one that is made once."""

import os
import shutil
import subprocess
import sys

import pytest

from sports_clip_pipeline.config.tracking import TrackingConfig
from sports_clip_pipeline.tracking.run import TrackedRun
from sports_clip_pipeline.tracking.store import connect, life_folder, open_store

CONFIG = TrackingConfig(experiment="test")


@pytest.fixture(scope="session")
def store_to_copy(tmp_path_factory):
    project = tmp_path_factory.mktemp("store to copy")
    open_store(CONFIG, project)
    return project / "mlruns" / "mlflow.db"


@pytest.fixture
def project(tmp_path, store_to_copy):
    """A project folder with a store; its name has a space in it."""
    place = tmp_path / "a project"
    (place / "mlruns").mkdir(parents=True)
    shutil.copy(store_to_copy, place / "mlruns" / "mlflow.db")
    return place


@pytest.fixture
def start(project):
    """Start a run in the project; what a test leaves open is closed."""
    runs = []

    def start_run(name="a run", **tags):
        store = open_store(CONFIG, project)
        runs.append(TrackedRun(store, life_folder(project), name, tags))
        return runs[-1]

    yield start_run
    for run in runs:
        run.finish("FINISHED")


@pytest.fixture
def all_runs(project):
    """Every run of the project's store, by name."""

    def read():
        store = open_store(CONFIG, project)
        found = connect(store.uri).search_runs([store.experiment_id])
        return {run.info.run_name: run for run in found}

    return read


@pytest.fixture
def script(project):
    """Start Python on a few lines, in a process of its own; `project` is known to them."""
    running = []
    head = (
        "import os, signal, sys, time\n"
        "from pathlib import Path\n"
        "from sports_clip_pipeline.config.tracking import TrackingConfig\n"
        "from sports_clip_pipeline.tracking.run import TrackedRun\n"
        "from sports_clip_pipeline.tracking.store import life_folder, open_store\n"
        "project, config = Path(sys.argv[1]), TrackingConfig(experiment='test')\n"
        "def start(name, **tags):\n"
        "    return TrackedRun(open_store(config, project), life_folder(project), name, tags)\n"
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
