"""Devices, precision and signals; training in two processes that torchrun starts."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.io.state import RunState
from sports_clip_pipeline.training.contrastive import UNLOCKED_STATE
from sports_clip_pipeline.training.distributed import (
    Compute,
    Processes,
    choose_compute,
    deferred_signals,
    process_group,
)
from tests.training.two_processes import train

PROJECT = Path(__file__).parents[2]
needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="names Linux's loopback device")


def torchrun(
    corpus: Path, folder: Path, kind: str, chunks: int = 1
) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2",
        "--local-addr=127.0.0.1", "-m", "tests.training.two_processes", str(corpus), str(folder),
        kind, str(chunks),
    ]  # fmt: skip
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command, cwd=PROJECT, env=environment, text=True, capture_output=True, timeout=300
    )


def trained(corpus: Path, folder: Path, kind: str, chunks: int = 1) -> Any:
    done = torchrun(corpus, folder, kind, chunks)
    assert done.returncode == 0, done.stderr[-4000:]
    return np.load(folder / "trained.npz")


@needs_linux
@pytest.mark.parametrize(("kind", "chunks"), [("pairs", 1), ("pairs", 2), ("pair", 1)])
def test_two_processes_give_the_curve_and_the_weights_of_one(
    kind: str, chunks: int, corpus_folder: Path, tmp_path: Path
) -> None:
    both = trained(corpus_folder, tmp_path, kind, chunks)
    alone = train(corpus_folder, tmp_path, kind, chunks)
    np.testing.assert_allclose(both["losses"], [r["loss"] for r in alone.history], rtol=1e-4)
    assert both["recalls"].tolist() == [0.04, 0.04], "broadcast by the main process"
    assert {n for n in both if n.startswith("weight.")} == {f"weight.{n}" for n in alone.weights}
    for name, value in alone.weights.items():
        np.testing.assert_allclose(both[f"weight.{name}"], value, atol=2e-3, err_msg=name)
    np.testing.assert_allclose(both["projection"], alone.projections.image_weight, atol=2e-3)


@needs_linux
def test_a_killed_process_ends_the_run_within_seconds_and_it_resumes(
    corpus_folder: Path, tmp_path: Path
) -> None:
    start = time.monotonic()
    killed = torchrun(corpus_folder, tmp_path, "killed")
    assert killed.returncode != 0
    assert "Signal 9" in killed.stderr
    assert time.monotonic() - start < 100
    state = RunState(tmp_path / "run_state-2").load_state(UNLOCKED_STATE, "f")
    assert state is not None
    assert (state[1]["epoch"], state[1]["step"]) in {(0, 1), (1, 0)}
    again = trained(corpus_folder, tmp_path, "pairs")
    alone = train(corpus_folder, tmp_path, "pairs", 1)
    np.testing.assert_allclose(again["losses"], [r["loss"] for r in alone.history], rtol=1e-4)


def test_shards_partition_the_batch() -> None:
    for count in (1, 2, 3, 5):
        shards = [Processes(rank, count).shard(11) for rank in range(count)]
        assert np.concatenate(shards).tolist() == list(range(11))
        assert max(map(len, shards)) - min(map(len, shards)) <= 1


def test_more_processes_than_images_of_a_step_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "8")
    monkeypatch.setenv("RANK", "0")
    with (
        pytest.raises(UserFacingError, match="started 8 processes for steps of 5 images"),
        process_group("cpu", 5),
    ):
        pass


def pretend(monkeypatch: pytest.MonkeyPatch, cuda: bool, bf16: bool = False) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: bf16)


@pytest.mark.parametrize(
    ("cuda", "bf16", "requested", "found"),
    [
        (False, False, ("auto", "auto"), ("cpu", "fp32")),
        (False, False, ("cpu", "bf16"), ("cpu", "bf16")),
        (True, True, ("auto", "auto"), ("cuda", "bf16")),
        (True, False, ("auto", "auto"), ("cuda", "fp16")),
        (True, True, ("cuda", "fp32"), ("cuda", "fp32")),
        (True, True, ("cpu", "auto"), ("cpu", "fp32")),
    ],
)
def test_auto_chooses_device_and_precision_of_the_machine(
    monkeypatch: pytest.MonkeyPatch,
    cuda: bool,
    bf16: bool,
    requested: tuple[str, str],
    found: tuple[str, str],
) -> None:
    pretend(monkeypatch, cuda, bf16)
    assert choose_compute(*requested) == Compute(*found, compiled=found[0] == "cuda")
    assert choose_compute(*requested, compiled="off") == Compute(*found)
    assert choose_compute(*requested, compiled="on").compiled


def test_a_missing_device_is_a_one_line_error(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, cuda=False)
    with pytest.raises(UserFacingError, match=r"parameter pretrain\.device: wanted cuda.*no CUDA"):
        choose_compute("cuda", "auto")


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)],
)
def test_matrix_products_have_the_precision_and_only_fp16_scales_its_loss(
    precision: str, dtype: torch.dtype
) -> None:
    compute, left = Compute("cpu", precision), torch.ones(2, 2)
    with compute.autocast():
        assert (left @ left).dtype == dtype
    assert compute.scaler().is_enabled() == (precision == "fp16")


def test_sigint_is_deferred_to_the_end_of_the_block() -> None:
    with pytest.raises(KeyboardInterrupt), deferred_signals() as signals:
        signal.raise_signal(signal.SIGINT)
        assert signals == [signal.SIGINT]


def test_sigterm_ends_with_its_status() -> None:
    with pytest.raises(SystemExit) as ended, deferred_signals():
        signal.raise_signal(signal.SIGTERM)
    assert ended.value.code == 128 + signal.SIGTERM


def test_the_previous_handler_gets_the_signal_and_is_restored() -> None:
    received: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: received.append(number))
    try:
        with pytest.raises(SystemExit), deferred_signals():
            signal.raise_signal(signal.SIGTERM)
            assert not received
        signal.raise_signal(signal.SIGTERM)
        assert received == [signal.SIGTERM, signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_second_sigint_is_not_deferred() -> None:
    with pytest.raises(KeyboardInterrupt), deferred_signals():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
