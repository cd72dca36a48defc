"""Runs that are really killed: whatever the moment, the next one ends with the same weights."""

import signal
import time
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sports_clip_pipeline.io.state import RunState
from sports_clip_pipeline.training.contrastive import UNLOCKED_STATE
from tests.training.killable import STEPS, run

# Processes are forked from one that has imported torch already.
CONTEXT = get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.training.killable"])


class Run:
    """A training process, from which the numbers of its steps are received."""

    def __init__(self, corpus: Path, run_state: Path) -> None:
        self.receiver: Connection
        self.receiver, sender = CONTEXT.Pipe(duplex=False)
        self.process = CONTEXT.Process(target=run, args=(corpus, run_state, sender))
        self.process.start()
        sender.close()

    def wait_for_steps(self, count: int) -> None:
        """Wait until it has sent so many more steps."""
        assert all(isinstance(self.receiver.recv(), int) for _ in range(count))

    def rest(self) -> list[Any]:
        """What it still sends until it ends."""
        received = []
        with suppress(EOFError, OSError):
            while True:
                received.append(self.receiver.recv())
        self.process.join(60)
        return received

    def finish(self) -> tuple[list[int], str]:
        """Steps and digest of a run that ends by itself."""
        *steps, digest = self.rest()
        assert self.process.exitcode == 0
        return steps, digest


@pytest.fixture(scope="module")
def whole(corpus_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    steps, digest = Run(corpus_folder, tmp_path_factory.mktemp("whole")).finish()
    assert steps == list(range(STEPS))
    return digest


def test_three_kills_at_random_moments_change_no_bit(
    whole: str, corpus_folder: Path, tmp_path: Path
) -> None:
    rng = np.random.default_rng()
    moments = [(int(rng.integers(2, 4)), float(rng.uniform(0, 0.15))) for _ in range(3)]
    print(f"killed after steps and seconds {moments}")  # shown where the test fails
    for steps, seconds in moments:
        training = Run(corpus_folder, tmp_path)
        training.wait_for_steps(steps)
        time.sleep(seconds)
        training.process.kill()
        training.rest()
        assert training.process.exitcode == -signal.SIGKILL
    steps, digest = Run(corpus_folder, tmp_path).finish()
    assert steps[0] > 0  # it resumed
    assert digest == whole


def test_sigterm_saves_the_current_step(whole: str, corpus_folder: Path, tmp_path: Path) -> None:
    training = Run(corpus_folder, tmp_path)
    training.wait_for_steps(2)
    training.process.terminate()
    last = max([1, *training.rest()])
    assert training.process.exitcode == 128 + signal.SIGTERM
    state = RunState(tmp_path).load_state(UNLOCKED_STATE, "f")
    assert state is not None
    assert 4 * state[1]["epoch"] + state[1]["step"] == last + 1
    steps, digest = Run(corpus_folder, tmp_path).finish()
    assert steps == list(range(last + 1, STEPS))
    assert digest == whole
