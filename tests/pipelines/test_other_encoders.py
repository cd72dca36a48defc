"""The DAG over towers that are not the packaged ones, in its own processes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml
from safetensors.torch import save_file

from sports_clip_pipeline import load_clip, load_predictor
from tests.encoders.making import ARCHITECTURE, write_image_tower, write_text_tower

STEPS = "--pipelines=tokenize,embed,pretrain,zero_shot,finetune,predict"
PAIR = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 64, "layers": 2, "width": 16, "head_width": 8, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2},
}
FINETUNE = {
    "fractions": [1.0], "seeds": 1,
    "methods": ["notebook_mlp", "logreg", "logreg_clip_text_init"], "mlp_steps": [20],
}  # fmt: skip
TOWERS = {"unlocked_image_blocks": -1, "unlocked_text_blocks": 1, "encoder_epochs": 1}


def recipe(place: Path, towers: tuple[str, str], context_length: int, pretrain: dict) -> Path:
    """A file of arguments for `kedro run --config`, as those in conf/recipes."""
    image, text = towers
    parameters = {
        "embed": {
            "image_encoder": image,
            "text_encoder": text,
            "image_size": 64,
            "additional_encoders": [],
            "backend": "torch",
        },
        "tokenize": {"text_encoder": text, "context_length": context_length},
        "pretrain": {"encoder_batch_size": 32, "epochs": 0, **TOWERS, **pretrain},
        "finetune": FINETUNE,
    }
    place.write_text(yaml.safe_dump({"run": {"params": parameters}}))
    return place


def curve(project: Path) -> pd.DataFrame:
    return pd.read_parquet(project / "data/08_reporting/sample/pretrain_history.parquet")


def test_the_notebooks_recipe_runs_over_files_of_timm_and_hugging_face(
    own_run: Path, tmp_path: Path, kedro: Callable
) -> None:
    image = write_image_tower(tmp_path / "resnet.safetensors")
    text = tmp_path / "distilbert"
    text.mkdir()
    towers = f"timm/{ARCHITECTURE}@{image}", f"hf/{write_text_tower(text)}"
    notebook = {"projections": "notebook", "loss": "soft_targets", "embed_dim": 16}
    done = kedro(
        own_run, "run", STEPS, f"--config={recipe(tmp_path / 'r.yml', towers, 24, notebook)}"
    )
    assert done.returncode == 0, done.stderr + done.stdout[-3000:]
    assert list(curve(own_run)["encoders"]) == ["locked", "unlocked"]
    folder = own_run / "data/06_models/sample/clip"
    assert json.loads((folder / "open_clip_config.json").read_text())["encoders"]["trained"] == [
        "image", "text",
    ]  # fmt: skip
    image.unlink()  # what was shipped stands on its own
    predictor = load_predictor(own_run / "data/06_models/sample/predictor")
    assert (
        predictor.predict_proba(torch.zeros(2, predictor.encoders[0].width).numpy()).shape[0] == 2
    )
    assert predictor.module()(torch.zeros(1, 3, 64, 64)).shape == (1, len(predictor.classes))


def test_a_pair_of_open_clips_own_is_trained_on_and_read_again(
    own_run: Path, tmp_path: Path, kedro: Callable
) -> None:
    import open_clip

    torch.manual_seed(0)
    pair = tmp_path / "pair"
    pair.mkdir()
    save_file(open_clip.CustomTextCLIP(**PAIR).state_dict(), pair / "open_clip_model.safetensors")
    (pair / "open_clip_config.json").write_text(json.dumps({"model_cfg": PAIR}))
    towers = (f"open_clip/tiny@{pair}",) * 2
    config = recipe(tmp_path / "r.yml", towers, 77, {"projections": "none"})
    steps = "--pipelines=tokenize,embed,pretrain,zero_shot"
    done = kedro(own_run, "run", steps, f"--config={config}")
    assert done.returncode == 0, done.stderr + done.stdout[-3000:]
    clip = load_clip(own_run / "data/06_models/sample/clip")
    embedded = clip.model.encode_text(clip.tokenizer(["a man swims"]))
    assert embedded.shape == (1, 16)
    rows = curve(own_run)
    assert list(rows["encoders"]) == ["locked", "unlocked"]
    assert rows["step"].is_monotonic_increasing and rows["step"].iloc[0] == 0


@pytest.mark.parametrize("name", ["notebook_2022", "vit_b_32_gpu"])
def test_the_ready_recipes_name_parameters_that_there_are(name: str) -> None:
    from sports_clip_pipeline.pipelines.embed.config import EmbedConfig
    from sports_clip_pipeline.pipelines.finetune.config import FinetuneConfig
    from sports_clip_pipeline.pipelines.pretrain.config import PretrainConfig
    from sports_clip_pipeline.pipelines.tokenize.config import TokenizeConfig
    from sports_clip_pipeline.pipelines.zero_shot.config import ZeroShotConfig

    root = Path(__file__).parents[2]
    run = yaml.safe_load((root / f"conf/recipes/{name}.yml").read_text())["run"]
    blocks = {
        "embed": EmbedConfig, "tokenize": TokenizeConfig, "pretrain": PretrainConfig,
        "finetune": FinetuneConfig, "zero_shot": ZeroShotConfig,
    }  # fmt: skip
    for block, fields in run["params"].items():
        if block != "study":
            base = yaml.safe_load((root / f"conf/base/parameters_{block}.yml").read_text())[block]
            blocks[block](**{**base, **fields})
