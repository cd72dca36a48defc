"""Pretraining by processes that torchrun started, as on two machines: each has its own launcher."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

from sports_clip_pipeline.encoders.image_encoders import load_image_encoder

STEP = ("--pipelines=pretrain", "--to-nodes=pretrain.pretrain_clip")
SETTINGS = (
    "--params=pretrain.epochs=2,pretrain.unlocked_image_blocks=1,pretrain.encoder_epochs=1,"
    "pretrain.encoder_dropout=false,pretrain.freeze_batch_norm=true,pretrain.encoder_batch_size=64"
)


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def machine(project: Path, rank: int, port: int, *arguments: str) -> subprocess.Popen[str]:
    """One of two launchers that meet at a port of this machine, with one process each."""
    launcher = [
        sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1",
        f"--node-rank={rank}", "--rdzv-backend=c10d", f"--rdzv-endpoint=127.0.0.1:{port}",
        "--rdzv-id=test", "--local-addr=127.0.0.1", "-m", "kedro", "run", *arguments,
    ]  # fmt: skip
    environment = {
        **os.environ, "PYTHONPATH": str(project / "src"), "OMP_NUM_THREADS": "1",
        "GLOO_SOCKET_IFNAME": "lo", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false",
    }  # fmt: skip
    return subprocess.Popen(
        launcher, cwd=project, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def both(project: Path, *arguments: str) -> str:
    """What two launchers say that run the same command to its end."""
    port = free_port()
    machines = [machine(project, rank, port, *arguments) for rank in (0, 1)]
    told = [one.communicate(timeout=300)[0] for one in machines]
    assert [one.returncode for one in machines] == [0, 0], "\n".join(told)[-4000:]
    return "\n".join(told)


def found(project: Path) -> tuple[dict[str, np.ndarray], pd.DataFrame]:
    weights = load_file(project / "data/06_models/sample/clip/open_clip_model.safetensors")
    return weights, pd.read_parquet(project / "data/08_reporting/sample/pretrain_history.parquet")


@pytest.mark.skipif(sys.platform != "linux", reason="GLOO_SOCKET_IFNAME=lo names Linux's loopback")
def test_two_launchers_give_the_model_of_one_process(own_run: Path, kedro: Callable) -> None:
    assert "process 1 of 2 has done its part of pretraining" in both(own_run, *STEP, SETTINGS)
    together, curve = found(own_run)
    shutil.rmtree(own_run / "data/06_models/sample/state/pretrain")  # nothing is read back
    alone = kedro(own_run, "run", *STEP, SETTINGS)
    assert alone.returncode == 0, alone.stderr
    weights, row = found(own_run)
    assert list(row["encoders"])[-1] == "unlocked"
    np.testing.assert_allclose(row["loss"], curve["loss"], atol=2e-3)
    name = "visual.trunk.conv_head.weight"
    packaged = load_image_encoder("lite0").state_dict()["conv_head.weight"].numpy()
    moved = np.abs(weights[name] - packaged).mean()
    assert np.abs(weights[name] - together[name]).mean() < 0.02 * moved


def test_two_launchers_share_the_features_that_the_cache_lacks(own_run: Path) -> None:
    place = own_run / "data/04_feature"
    before = load_file(place / "sample/caption_features.safetensors")["features"]
    (text,) = (
        space.parent
        for space in (place / "cache").glob("*/space.json")
        if "pooling" in space.read_text()
    )
    for block in text.glob("*.safetensors"):
        block.unlink()
    # The second computes nothing before the first has written: it waits for it at the start.
    told = both(own_run, "--pipelines=embed", "--params=embed.backend=onnxruntime")
    assert "process 1 of 2 has done its part of embedding" in told
    after = load_file(place / "sample/caption_features.safetensors")["features"]
    np.testing.assert_allclose(after, before, atol=1e-2)
    blocks = list(text.glob("*.safetensors"))
    keys = [row.tobytes() for block in blocks for row in load_file(block)["keys"]]
    assert len(keys) == len(set(keys)), "no caption was computed twice"
    assert len(blocks) > 1
