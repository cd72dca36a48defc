"""What many rooms' tests share: copies of the project, and one small finished study."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from filelock import FileLock

WORKER = os.environ.get("PYTEST_XDIST_WORKER")
if WORKER and hasattr(os, "sched_setaffinity"):
    # Tests that run side by side have one core each, and so has whatever they start: more threads
    # than cores would slow all of them down.
    usable = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {usable[int(WORKER.removeprefix("gw")) % len(usable)]})

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # A shell starts background jobs with Ctrl-C ignored, and children inherit that; the tests
    # that interrupt a child need it to listen.
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parents[1]
SAMPLE_SIZE = 320
SMALL_STUDY = (
    "--params=finetune.fractions=0.25+1.0,finetune.seeds=1,"
    "finetune.methods=logreg_tower+logreg_clip_text_init,pretrain.epochs=3"
)


def command(
    project: Path, *arguments: str, under: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    """Run `python -m …` in `project`, which has its own copy of the package.

    Args:
        under: a command that is given this one to run.
    """
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


def refusal(done: subprocess.CompletedProcess[str]) -> str:
    """The one line that a refused command ends with."""
    assert done.returncode != 0, done.stdout[-2000:]
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert lines, done.stdout[-2000:]
    assert sum(line.startswith("Error: ") for line in lines) == 1, done.stderr
    return lines[-1]


def copy_project(place: Path) -> Path:
    """The project without its data, at `place`."""
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for folder in ("conf", "src", "notebooks"):
        shutil.copytree(ROOT / folder, place / folder, ignore=ignored)
    shutil.rmtree(place / "conf" / "local")
    (place / "conf" / "local").mkdir()
    for file in ("pyproject.toml", ".telemetry"):
        shutil.copy(ROOT / file, place / file)
    return place


@pytest.fixture(scope="session")
def kedro() -> Callable[..., subprocess.CompletedProcess[str]]:
    """`kedro(project, "run", …)` in a process of its own."""
    return lambda project, *arguments, **more: command(project, "kedro", *arguments, **more)


@pytest.fixture(scope="session")
def empty_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project in which nothing has run; tests leave it so."""
    return copy_project(tmp_path_factory.mktemp("empty"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first, so that no worker is left with one at the end.

    Those that do without the finished study come before those that would wait for it.
    """
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    waiting = {item.path for item in items if "finished_run" in getattr(item, "fixturenames", ())}
    items.sort(key=lambda item: (item.path not in slow, item.path in waiting))


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with a small finished study `sample`; tests only read it.

    A test that runs something on it takes `own_run`. Tests that run side by side share it.
    """
    base = tmp_path_factory.getbasetemp()
    base = base.parent if WORKER else base
    project = base / "finished"
    with FileLock(base / "finished.lock"):
        if not (base / "finished.done").exists():
            shutil.rmtree(project, ignore_errors=True)
            _run_small_study(project)
            (base / "finished.done").touch()
    return project


def _run_small_study(place: Path) -> None:
    project = copy_project(place)
    made = command(
        project,
        *("sports_clip_sample", "--out", "data/01_raw/sample"),
        *("--size", str(SAMPLE_SIZE)),
    )
    assert made.returncode == 0, made.stderr
    ran = command(project, "kedro", "run", SMALL_STUDY)
    assert ran.returncode == 0, ran.stderr + ran.stdout[-4000:]


@pytest.fixture
def own_run(finished_run: Path, tmp_path: Path) -> Path:
    """The finished study again, to run things on: its files are linked, its settings copied.

    Every file of a study is replaced by renaming, so a link protects the original.
    """
    return linked_study(finished_run, tmp_path / "project")


def linked_study(finished: Path, place: Path) -> Path:
    """A copy of the project at `place` whose data are links to those of a finished study."""
    project = copy_project(place)
    shutil.copytree(finished / "data", project / "data", copy_function=os.link)
    return project
