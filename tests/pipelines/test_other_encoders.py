"""The DAG with encoders from files of timm, Hugging Face and open_clip."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml
from safetensors.torch import save_file

from sports_clip_pipeline import load_clip, load_predictor
from sports_clip_pipeline.pipelines.embed.config import EmbedConfig, TokenizeConfig
from sports_clip_pipeline.pipelines.finetune.config import FinetuneConfig
from sports_clip_pipeline.pipelines.pretrain.config import PretrainConfig
from sports_clip_pipeline.pipelines.zero_shot.config import ZeroShotConfig
from tests.conftest import ROOT, Kedro
from tests.encoders.factories import ARCHITECTURE, write_image_encoder, write_text_encoder

STEPS = "--pipelines=tokenize,embed,pretrain,zero_shot,finetune,predict"
PAIR = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 64, "layers": 2, "width": 16, "head_width": 8, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2},
}
FINETUNE = {
    "fractions": [1.0], "seeds": 1,
    "select": ["notebook_mlp", "logreg", "logreg_clip_text_init"],
    "methods": {"notebook_mlp": {"steps": [20]}},
}  # fmt: skip
UNLOCKED = {"unlocked_image_blocks": -1, "unlocked_text_blocks": 1, "encoder_epochs": 1}


def recipe(path: Path, encoders: tuple[str, str], context_length: int, pretrain: dict) -> Path:
    """Write a file for `kedro run --config`, like those in conf/recipes."""
    image, text = encoders
    parameters = {
        "embed": {
            "image_encoder": image, "text_encoder": text, "image_size": 64,
            "additional_encoders": [], "backend": "torch",
        },
        "tokenize": {"text_encoder": text, "context_length": context_length},
        "pretrain": {"encoder_batch_size": 32, "epochs": 0, **UNLOCKED, **pretrain},
        "finetune": FINETUNE,
        "cam": {"guided": False, "right": 1, "wrong": 1},
    }  # fmt: skip
    path.write_text(yaml.safe_dump({"run": {"params": parameters}}))
    return path


def curve(project: Path) -> pd.DataFrame:
    return pd.read_parquet(project / "data/08_reporting/sample/pretrain_history.parquet")


def recorded(project: Path) -> set[str]:
    """Metrics of pretraining in MLflow."""
    with closing(sqlite3.connect(project / "mlruns/mlflow.db")) as store:
        return {
            key for (key,) in store.execute("SELECT key FROM metrics WHERE key GLOB 'pretrain/*'")
        }


def test_the_notebook_recipe_runs_with_encoders_of_timm_and_hugging_face(
    own_run: Path, tmp_path: Path, kedro: Kedro
) -> None:
    image = write_image_encoder(tmp_path / "resnet.safetensors")
    text = tmp_path / "distilbert"
    text.mkdir()
    encoders = f"timm/{ARCHITECTURE}@{image}", f"hf/{write_text_encoder(text)}"
    notebook = {"projections": "notebook", "loss": "soft_targets", "embed_dim": 16}
    done = kedro(
        own_run, "run", STEPS, f"--config={recipe(tmp_path / 'r.yml', encoders, 24, notebook)}"
    )
    assert done.returncode == 0, done.stderr + done.stdout[-3000:]
    assert list(curve(own_run)["encoders"]) == ["locked", "unlocked"]
    folder = own_run / "data/06_models/sample/clip"
    assert json.loads((folder / "open_clip_config.json").read_text())["encoders"]["trained"] == [
        "image", "text",
    ]  # fmt: skip
    image.unlink()  # the predictor holds its own weights
    predictor = load_predictor(own_run / "data/06_models/sample/predictor")
    assert (
        predictor.predict_proba(torch.zeros(2, predictor.encoders[0].width).numpy()).shape[0] == 2
    )
    assert predictor.module()(torch.zeros(1, 3, 64, 64)).shape == (1, len(predictor.classes))


def test_an_open_clip_pair_is_used_as_published_then_trained(
    own_run: Path, tmp_path: Path, kedro: Kedro
) -> None:
    import open_clip

    torch.manual_seed(0)
    pair = tmp_path / "pair"
    pair.mkdir()
    save_file(open_clip.CustomTextCLIP(**PAIR).state_dict(), pair / "open_clip_model.safetensors")
    (pair / "open_clip_config.json").write_text(json.dumps({"model_cfg": PAIR}))
    encoders = (f"open_clip/tiny@{pair}",) * 2
    locked = {"projections": "none", "unlocked_image_blocks": 0, "unlocked_text_blocks": 0}
    config = recipe(tmp_path / "published.yml", encoders, 77, locked)
    done = kedro(own_run, "run", f"{STEPS},cam,report", f"--config={config}")
    assert done.returncode == 0, done.stderr + done.stdout[-3000:]
    rows = curve(own_run)
    assert rows.empty and {"epoch", "loss", "validation_t2i_r5", "encoders"} <= set(rows)
    reporting = own_run / "data/08_reporting/sample"
    card = (reporting / "model_card.md").read_text().replace("\\", "")
    assert f"a CLIP model of {encoders[0]}, used as published" in card
    page = (reporting / "report.html").read_text()
    assert "is used as published, untrained" in page and 'data-plot="training_curve"' not in page
    recorder = "--runner=sports_clip_pipeline.tracking.datasets.RecordRunner"
    done = kedro(own_run, "run", "--pipelines=pretrain,report", recorder, f"--config={config}")
    assert done.returncode == 0, done.stderr + done.stdout[-3000:]
    assert not recorded(own_run)

    config = recipe(tmp_path / "trained.yml", encoders, 77, {"projections": "none"})
    done = kedro(own_run, "run", "--pipelines=pretrain,zero_shot", f"--config={config}")
    assert done.returncode == 0, done.stderr + done.stdout[-3000:]
    clip = load_clip(own_run / "data/06_models/sample/clip")
    embedded = clip.model.encode_text(clip.tokenizer(["a man swims"]))
    assert embedded.shape == (1, 16)
    rows = curve(own_run)
    assert list(rows["encoders"]) == ["locked", "unlocked"]
    assert rows["step"].is_monotonic_increasing and rows["step"].iloc[0] == 0
    assert "pretrain/loss" in recorded(own_run)


@pytest.mark.parametrize("name", ["notebook_2022", "vit_b_32_gpu"])
def test_the_committed_recipes_are_valid(name: str) -> None:
    run = yaml.safe_load((ROOT / f"conf/recipes/{name}.yml").read_text())["run"]
    blocks = {
        "embed": EmbedConfig, "tokenize": TokenizeConfig, "pretrain": PretrainConfig,
        "finetune": FinetuneConfig, "zero_shot": ZeroShotConfig,
    }  # fmt: skip
    for block, fields in run["params"].items():
        if block != "study":
            base = yaml.safe_load((ROOT / f"conf/base/parameters_{block}.yml").read_text())[block]
            blocks[block](**{**base, **fields})
