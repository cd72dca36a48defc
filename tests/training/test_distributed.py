"""Training in two real processes that torchrun starts: the curve of one, deaths, going on."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.io.state import RunState
from sports_clip_pipeline.training.contrastive import UNLOCKED_STATE
from sports_clip_pipeline.training.distributed import Processes, process_group
from tests.training.two_processes import train

PROJECT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="names Linux's loopback device")


def torchrun(folder: Path, kind: str, chunks: int = 1) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2",
        "--local-addr=127.0.0.1", "-m", "tests.training.two_processes", str(folder), kind,
        str(chunks),
    ]  # fmt: skip
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command, cwd=PROJECT, env=environment, text=True, capture_output=True, timeout=300
    )


def trained(folder: Path, kind: str, chunks: int = 1) -> Any:
    done = torchrun(folder, kind, chunks)
    assert done.returncode == 0, done.stderr[-4000:]
    return np.load(folder / "trained.npz")


@pytest.mark.parametrize(("kind", "chunks"), [("pairs", 1), ("pairs", 2), ("pair", 1)])
def test_two_processes_give_the_curve_and_the_weights_of_one(
    kind: str, chunks: int, tmp_path: Path
) -> None:
    both = trained(tmp_path, kind, chunks)
    alone = train(tmp_path, kind, chunks)
    np.testing.assert_allclose(both["losses"], [r["loss"] for r in alone.history], rtol=1e-4)
    assert both["recalls"].tolist() == [0.04, 0.04], "the main process tells the others"
    assert {n for n in both if n.startswith("weight.")} == {f"weight.{n}" for n in alone.weights}
    for name, value in alone.weights.items():
        np.testing.assert_allclose(both[f"weight.{name}"], value, atol=2e-3, err_msg=name)
    np.testing.assert_allclose(both["projection"], alone.projections.image_weight, atol=2e-3)


def test_a_killed_process_ends_the_run_within_seconds_and_it_goes_on(tmp_path: Path) -> None:
    start = time.monotonic()
    killed = torchrun(tmp_path, "killed")
    assert killed.returncode != 0
    assert "Signal 9" in killed.stderr
    assert time.monotonic() - start < 100
    state = RunState(tmp_path / "journal-2").load_state(UNLOCKED_STATE, "f")
    assert state is not None
    assert (state[1]["epoch"], state[1]["step"]) in {(0, 1), (1, 0)}
    again = trained(tmp_path, "pairs")
    alone = train(tmp_path, "pairs", 1)
    np.testing.assert_allclose(again["losses"], [r["loss"] for r in alone.history], rtol=1e-4)


def test_shards_are_disjoint_and_together_the_batch() -> None:
    for count in (1, 2, 3, 5):
        shards = [Processes(rank, count).shard(11) for rank in range(count)]
        assert np.concatenate(shards).tolist() == list(range(11))
        assert max(map(len, shards)) - min(map(len, shards)) <= 1


def test_more_processes_than_images_of_a_step_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "8")
    monkeypatch.setenv("RANK", "0")
    with (
        pytest.raises(UserFacingError, match="started 8 processes for steps of 5 images"),
        process_group("cpu", 5),
    ):
        pass
