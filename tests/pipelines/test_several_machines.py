"""Pretraining and embedding by two launchers of torchrun, as on two machines."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

from sports_clip_pipeline.encoders.image_encoders import load_image_encoder
from tests.conftest import Kedro
from tests.tracking.server import free_port

STEP = ("--pipelines=pretrain", "--to-nodes=pretrain.pretrain_clip")
SETTINGS = (
    "--params=pretrain.epochs=2,pretrain.unlocked_image_blocks=1,pretrain.encoder_epochs=1,"
    "pretrain.encoder_dropout=false,pretrain.freeze_batch_norm=true,pretrain.encoder_batch_size=64"
)


def machine(project: Path, rank: int, port: int, *arguments: str) -> subprocess.Popen[str]:
    """Start one of two torchrun launchers with one process each."""
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
    """The output of two launchers that run the same command."""
    port = free_port()
    machines = [machine(project, rank, port, *arguments) for rank in (0, 1)]
    output = "\n".join(one.communicate(timeout=300)[0] for one in machines)
    assert [one.returncode for one in machines] == [0, 0], output[-4000:]
    return output


def result(project: Path) -> tuple[dict[str, np.ndarray], pd.DataFrame]:
    weights = load_file(project / "data/06_models/sample/clip/open_clip_model.safetensors")
    return weights, pd.read_parquet(project / "data/08_reporting/sample/pretrain_history.parquet")


@pytest.mark.skipif(sys.platform != "linux", reason="GLOO_SOCKET_IFNAME=lo names Linux's loopback")
def test_two_launchers_train_the_model_of_one_process(own_run: Path, kedro: Kedro) -> None:
    assert "process 1 of 2 has done its part of pretraining" in both(own_run, *STEP, SETTINGS)
    together, curve = result(own_run)
    shutil.rmtree(own_run / "data/06_models/sample/state/pretrain")  # nothing is read back
    alone = kedro(own_run, "run", *STEP, SETTINGS)
    assert alone.returncode == 0, alone.stderr
    weights, row = result(own_run)
    assert list(row["encoders"])[-1] == "unlocked"
    np.testing.assert_allclose(row["loss"], curve["loss"], atol=2e-3)
    name = "visual.trunk.conv_head.weight"
    packaged = load_image_encoder("lite0").state_dict()["conv_head.weight"].numpy()
    moved = np.abs(weights[name] - packaged).mean()
    assert np.abs(weights[name] - together[name]).mean() < 0.02 * moved


def test_two_launchers_share_the_features_missing_in_the_cache(own_run: Path) -> None:
    folder = own_run / "data/04_feature"
    before = load_file(folder / "sample/caption_features.safetensors")["features"]
    (text,) = (
        space.parent
        for space in (folder / "cache").glob("*/space.json")
        if "pooling" in space.read_text()
    )
    for block in text.glob("*.safetensors"):
        block.unlink()
    output = both(own_run, "--pipelines=embed", "--params=embed.backend=onnxruntime")
    assert "process 1 of 2 has done its part of embedding" in output
    after = load_file(folder / "sample/caption_features.safetensors")["features"]
    np.testing.assert_allclose(after, before, atol=1e-2)
    blocks = list(text.glob("*.safetensors"))
    keys = [row.tobytes() for block in blocks for row in load_file(block)["keys"]]
    assert len(keys) == len(set(keys)), "no caption was computed twice"
    assert len(blocks) > 1
