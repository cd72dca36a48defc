"""Shared fixtures: copies of the project, and one small finished study."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from kedro.config import OmegaConfigLoader

from sports_clip_pipeline import settings

WORKER = os.environ.get("PYTEST_XDIST_WORKER")
if WORKER and hasattr(os, "sched_setaffinity"):
    # One core for each parallel worker and its child processes.
    usable = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {usable[int(WORKER.removeprefix("gw")) % len(usable)]})

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # A shell starts background jobs with SIGINT ignored, which children inherit.
    signal.signal(signal.SIGINT, signal.default_int_handler)

Kedro = Callable[..., subprocess.CompletedProcess[str]]
ROOT = Path(__file__).resolve().parents[1]
SAMPLE_SIZE = 320
SMALL_STUDY = (
    "--params=finetune.fractions=0.25+1.0,finetune.seeds=1,"
    "finetune.select=logreg+logreg_clip_text_init,pretrain.epochs=3"
)


def config_loader(
    env: str = "base", conf: Path = ROOT / "conf", **runtime_params: Any
) -> OmegaConfigLoader:
    """The configuration of an environment as `kedro run` reads it."""
    return OmegaConfigLoader(
        str(conf), env=env, runtime_params=runtime_params, **settings.CONFIG_LOADER_ARGS
    )


def command(
    project: Path, *arguments: str, under: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    """Run `python -m …` on the project's own copy of the package, `under` a wrapping command."""
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1" if WORKER else "2",
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONPATH": str(project / "src"),
        "COLUMNS": "200",
    }
    return subprocess.run(
        [*under, sys.executable, "-m", *arguments],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )


def error_line(done: subprocess.CompletedProcess[str]) -> str:
    """The one line with which a failed command ends."""
    assert done.returncode != 0, done.stdout[-2000:]
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert lines, done.stdout[-2000:]
    assert sum(line.startswith("Error: ") for line in lines) == 1, done.stderr
    return lines[-1]


def copy_project(path: Path) -> Path:
    """Copy the project without its data to `path`."""
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for folder in ("conf", "src", "notebooks"):
        shutil.copytree(ROOT / folder, path / folder, ignore=ignored)
    shutil.rmtree(path / "conf" / "local")
    (path / "conf" / "local").mkdir()
    for file in ("pyproject.toml", ".telemetry"):
        shutil.copy(ROOT / file, path / file)
    return path


@pytest.fixture(scope="session")
def kedro() -> Kedro:
    """`kedro(project, "run", …)` in a process of its own."""
    return lambda project, *arguments, **more: command(project, "kedro", *arguments, **more)


@pytest.fixture(scope="session")
def empty_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project in which nothing has run; tests leave it so."""
    return copy_project(tmp_path_factory.mktemp("empty"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run files with slow tests first.

    One file that needs the finished study begins, so that its worker makes the study while the
    others run tests that do not need it; the rest of those files come last of the slow ones.
    """
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    waiting = [item.path for item in items if "finished_run" in getattr(item, "fixturenames", ())]
    items.sort(
        key=lambda item: (
            item.path not in waiting[:1], item.path not in slow, item.path in waiting
        )
    )  # fmt: skip


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with a small finished study `sample`, shared and read-only.

    Tests that run a command on it use `own_run`.
    """
    base = tmp_path_factory.getbasetemp()
    base = base.parent if WORKER else base
    project = base / "finished"
    with FileLock(base / "finished.lock"):
        if not (base / "finished.done").exists():
            shutil.rmtree(project, ignore_errors=True)
            copy_project(project)
            sample = ("--out", "data/01_raw/sample", "--size", str(SAMPLE_SIZE))
            for arguments in (("sports_clip_sample", *sample), ("kedro", "run", SMALL_STUDY)):
                done = command(project, *arguments)
                assert done.returncode == 0, done.stderr + done.stdout[-4000:]
            (base / "finished.done").touch()
    return project


@pytest.fixture
def own_run(finished_run: Path, tmp_path: Path) -> Path:
    """A copy of the finished study to run commands on."""
    return linked_study(finished_run, tmp_path / "project")


def linked_study(finished: Path, path: Path) -> Path:
    """A copy of the project at `path` whose data are hard links to those of a finished study.

    The pipeline replaces files by renaming, so the originals do not change.
    """
    project = copy_project(path)
    shutil.copytree(finished / "data", project / "data", copy_function=os.link)
    return project
