"""Runs that are really killed: whatever the moment, the next one ends with the same weights."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from sports_clip_pipeline.io.state import RunState
from sports_clip_pipeline.training.contrastive import UNLOCKED_STATE
from tests.training.killable import STEPS

PROJECT = Path(__file__).parents[2]


def start(corpus: Path, run_state: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.training.killable", str(corpus), str(run_state)]
    return subprocess.Popen(
        command, cwd=PROJECT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def finish(process: subprocess.Popen[str]) -> tuple[list[int], str]:
    """Printed steps and digest of the process."""
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    lines = output.splitlines()
    return [int(line.split()[1]) for line in lines[:-1]], lines[-1].split()[1]


def wait_for_steps(process: subprocess.Popen[str], count: int) -> None:
    """Wait until the process has printed so many more steps."""
    assert process.stdout is not None
    for _ in range(count):
        assert process.stdout.readline().startswith("step ")


@pytest.fixture(scope="module")
def whole(corpus_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    steps, digest = finish(start(corpus_folder, tmp_path_factory.mktemp("whole")))
    assert steps == list(range(STEPS))
    return digest


def test_three_kills_at_random_moments_change_no_bit(
    whole: str, corpus_folder: Path, tmp_path: Path
) -> None:
    rng = np.random.default_rng()
    moments = [(int(rng.integers(2, 4)), float(rng.uniform(0, 0.15))) for _ in range(3)]
    print(f"killed after steps and seconds {moments}")  # shown where the test fails
    for steps, seconds in moments:
        process = start(corpus_folder, tmp_path)
        wait_for_steps(process, steps)
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
        assert process.returncode == -signal.SIGKILL
    steps, digest = finish(start(corpus_folder, tmp_path))
    assert steps[0] > 0  # it resumed
    assert digest == whole


def test_sigterm_saves_the_current_step(whole: str, corpus_folder: Path, tmp_path: Path) -> None:
    process = start(corpus_folder, tmp_path)
    wait_for_steps(process, 2)
    process.send_signal(signal.SIGTERM)
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 128 + signal.SIGTERM
    last = max([1, *(int(line.split()[1]) for line in output.splitlines())])
    state = RunState(tmp_path).load_state(UNLOCKED_STATE, "f")
    assert state is not None
    assert 3 * state[1]["epoch"] + state[1]["step"] == last + 1
    steps, digest = finish(start(corpus_folder, tmp_path))
    assert steps == list(range(last + 1, STEPS))
    assert digest == whole
