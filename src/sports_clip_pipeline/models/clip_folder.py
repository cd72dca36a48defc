"""The contrastive model as open_clip's folder form, loadable from anywhere."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import open_clip
import torch
from open_clip.tokenizer import HFTokenizer
from safetensors.torch import load_file, save_file
from torch import nn

from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.journal.disk import replacing_folder
from sports_clip_pipeline.models import towers
from sports_clip_pipeline.models.unit_norm import unit_norm
from sports_clip_pipeline.preprocessing.images import ImagePreprocessing

WEIGHTS = "open_clip_model.safetensors"
CONFIG = "open_clip_config.json"
IMAGE_PREFIX = "visual.trunk."
TEXT_PREFIX = "text.transformer."
_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
)


@dataclass(frozen=True)
class Projections:
    """The maps from pooled features to the shared space, and the scale of cosines.

    Attributes:
        image_weight: (P, D) float32; pooled image features to the shared space.
        image_bias: (P,) float32.
        text_weight: (P, E) float32; pooled text features to the shared space.
        logit_scale: logarithm of the scale of cosines.
        logit_bias: what is added to the scaled cosines, of a model trained with SigLIP's loss; None
            for others. It changes no ranking.
    """

    image_weight: np.ndarray
    image_bias: np.ndarray
    text_weight: np.ndarray
    logit_scale: float
    logit_bias: float | None = None

    def image_embeddings(self, features: np.ndarray) -> np.ndarray:
        """(N, D) pooled image features to (N, P) unit-norm."""
        return unit_norm(features @ self.image_weight.T + self.image_bias)

    def text_embeddings(self, features: np.ndarray) -> np.ndarray:
        """(M, E) pooled text features to (M, P) unit-norm."""
        return unit_norm(features @ self.text_weight.T)


class LoadedClip(NamedTuple):
    """A CLIP folder in memory: model in eval mode, preprocessing, tokenizer."""

    model: nn.Module
    preprocessing: ImagePreprocessing
    tokenizer: HFTokenizer


def write_clip_folder(
    folder: Path,
    projections: Projections,
    image_tower: str,
    text_tower: str,
    preprocessing: ImagePreprocessing,
    context_length: int,
    trained: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Assemble the `CustomTextCLIP` and write it, whole or not at all.

    Args:
        trained: weights of the towers that are not the packaged ones, by their names in the model
            (`visual.trunk.…`, `text.transformer.…`). The folder's configuration says under
            `towers.trained` which towers they belong to.
    Raises: ValueError: a trained weight is none of the model's, or has another shape.
    """
    trained = trained or {}
    config = _config(projections, image_tower, text_tower, preprocessing, context_length, folder)
    config["towers"]["trained"] = [
        tower
        for tower, prefix in (("image", IMAGE_PREFIX), ("text", TEXT_PREFIX))
        if any(name.startswith(prefix) for name in trained)
    ]
    model = build_clip(projections, image_tower, text_tower, preprocessing, context_length)
    weights = model.state_dict()
    for name, value in trained.items():
        if name not in weights or weights[name].shape != value.shape:
            raise ValueError(f"the model has no weight {name} of shape {value.shape}")
        weights[name] = torch.from_numpy(np.array(value))
    source = towers.text_tower_spec(text_tower).folder
    with replacing_folder(folder) as partial:
        for name in (*_TOKENIZER_FILES, "config.json"):
            shutil.copyfile(source / name, partial / name)
        save_file({key: value.contiguous() for key, value in weights.items()}, partial / WEIGHTS)
        (partial / CONFIG).write_text(json.dumps(config, indent=2) + "\n")


def build_clip(
    projections: Projections,
    image_tower: str,
    text_tower: str,
    preprocessing: ImagePreprocessing,
    context_length: int,
) -> nn.Module:
    """The `CustomTextCLIP` of the packaged towers and learned projections, in eval mode."""
    source = towers.text_tower_spec(text_tower).folder
    config = _config(projections, image_tower, text_tower, preprocessing, context_length, source)
    model = _build(config, source)
    _fill(model, projections, image_tower, text_tower)
    return model.eval()


def load_clip(path: str | Path) -> LoadedClip:
    """Load a CLIP folder, wherever it stands, without a network.

    Returns: the open_clip `CustomTextCLIP` in eval mode (`encode_image`, `encode_text`), the
        preprocessing of photographs, and the tokenizer of texts.
    Raises: UserFacingError: a file of the folder is missing or does not fit.
    """
    folder = Path(path).resolve()
    remedy = "run `kedro run --pipelines=pretrain` to make it again"
    try:
        config = json.loads((folder / CONFIG).read_text())
        state = load_file(folder / WEIGHTS)
    except Exception as error:
        raise UserFacingError(folder, f"is no whole CLIP folder ({error})", remedy) from error
    model = _build(config, folder)
    missing, unexpected = model.load_state_dict(state, strict=False)
    if missing or unexpected:
        what = f"{len(missing)} weights are missing and {len(unexpected)} unexpected"
        raise UserFacingError(folder / WEIGHTS, what, remedy)
    length = config["model_cfg"]["text_cfg"]["context_length"]
    return LoadedClip(model.eval(), _preprocessing(config), HFTokenizer(str(folder), length))


def relocate(folder: Path, place: Path) -> None:
    """Make the configuration in `folder` name `place`, where the folder will stand.

    open_clip asks the hub for a text tower that is not named by an absolute path.
    """
    config = json.loads((folder / CONFIG).read_text())
    for key in ("hf_model_name", "hf_tokenizer_name"):
        config["model_cfg"]["text_cfg"][key] = str(place.resolve())
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n")


def read_projections(path: str | Path) -> Projections:
    """The projections of a CLIP folder alone, without building its towers."""
    from safetensors import safe_open

    with safe_open(Path(path) / WEIGHTS, framework="numpy") as file:
        names = set(file.keys())
        return Projections(
            image_weight=file.get_tensor("visual.head.proj.weight"),
            image_bias=file.get_tensor("visual.head.proj.bias"),
            text_weight=file.get_tensor("text.proj.weight"),
            logit_scale=float(file.get_tensor("logit_scale")),
            logit_bias=float(file.get_tensor("logit_bias")) if "logit_bias" in names else None,
        )


def read_preprocessing(path: str | Path) -> ImagePreprocessing:
    """The preprocessing that a CLIP folder records."""
    return _preprocessing(json.loads((Path(path) / CONFIG).read_text()))


def read_image_tower(path: str | Path) -> dict[str, np.ndarray]:
    """The trained image tower of a CLIP folder, as the state dict of the packaged architecture.

    Its 1,000-class head is the packaged one. Empty where the folder's image tower is the packaged
    one unchanged.
    """
    trunk = _read_trained(path, "image", IMAGE_PREFIX)
    if not trunk:
        return {}
    name = json.loads((Path(path) / CONFIG).read_text())["towers"]["image"]
    packaged = towers.load_image_tower(name).state_dict()
    return {key: trunk[key] if key in trunk else value.numpy() for key, value in packaged.items()}


def read_text_tower(path: str | Path) -> dict[str, np.ndarray]:
    """The state dict of the trained text tower; empty where it is the packaged one unchanged."""
    return _read_trained(path, "text", TEXT_PREFIX)


def trained_towers(path: str | Path) -> tuple[str, ...]:
    """Which of `image` and `text` a CLIP folder has trained."""
    return tuple(json.loads((Path(path) / CONFIG).read_text())["towers"].get("trained", ()))


def _read_trained(path: str | Path, tower: str, prefix: str) -> dict[str, np.ndarray]:
    from safetensors import safe_open

    if tower not in trained_towers(path):
        return {}
    with safe_open(Path(path) / WEIGHTS, framework="numpy") as file:
        names = [name for name in file.keys() if name.startswith(prefix)]  # noqa: SIM118
        return {name.removeprefix(prefix): file.get_tensor(name) for name in names}


def _config(
    projections: Projections,
    image_tower: str,
    text_tower: str,
    preprocessing: ImagePreprocessing,
    context_length: int,
    folder: Path,
) -> dict[str, Any]:
    place = str(folder.resolve())
    bias = projections.logit_bias
    return {
        "model_cfg": {
            **({} if bias is None else {"init_logit_bias": bias}),
            "embed_dim": len(projections.image_weight),
            "vision_cfg": {
                "timm_model_name": towers.image_tower_spec(image_tower).architecture,
                "timm_model_pretrained": False,
                "timm_pool": "",
                "timm_proj": "linear",
                "timm_proj_bias": True,
                "image_size": preprocessing.size,
            },
            "text_cfg": {
                "hf_model_name": place,
                "hf_tokenizer_name": place,
                "hf_model_pretrained": False,
                "hf_proj_type": "linear",
                "hf_pooler_type": "mean_pooler",
                "context_length": context_length,
            },
            "custom_text": True,
        },
        "preprocess_cfg": {
            "size": [preprocessing.size, preprocessing.size],
            "mean": list(preprocessing.mean),
            "std": list(preprocessing.std),
            "interpolation": preprocessing.interpolation,
            "resize_mode": "shortest" if preprocessing.view.startswith("centre") else "squash",
        },
        "towers": {"image": image_tower, "text": text_tower, "view": preprocessing.view},
    }


def _build(config: dict[str, Any], tokenizer_folder: Path) -> nn.Module:
    model_config = deepcopy(config["model_cfg"])
    model_config.pop("custom_text")
    model_config["text_cfg"]["hf_model_name"] = str(tokenizer_folder)
    model_config["text_cfg"]["hf_tokenizer_name"] = str(tokenizer_folder)
    return open_clip.CustomTextCLIP(**model_config)


def _fill(model: Any, projections: Projections, image_tower: str, text_tower: str) -> None:
    """Put packaged tower weights and learned projections into the model, every key of it."""
    trunk = towers.load_image_tower(image_tower).state_dict()
    state = {f"visual.trunk.{k}": v for k, v in trunk.items() if not k.startswith("classifier.")}
    transformer = towers.load_text_tower(text_tower).state_dict()
    state |= {f"text.transformer.{k}": v for k, v in transformer.items()}
    state["visual.head.proj.weight"] = torch.from_numpy(projections.image_weight)
    state["visual.head.proj.bias"] = torch.from_numpy(projections.image_bias)
    state["text.proj.weight"] = torch.from_numpy(projections.text_weight)
    state["logit_scale"] = torch.tensor(projections.logit_scale)
    if projections.logit_bias is not None:
        state["logit_bias"] = torch.tensor(projections.logit_bias)
    model.load_state_dict(state, strict=True)


def _preprocessing(config: dict[str, Any]) -> ImagePreprocessing:
    record = config["preprocess_cfg"]
    return ImagePreprocessing(
        size=record["size"][0],
        mean=tuple(record["mean"]),
        std=tuple(record["std"]),
        interpolation=record["interpolation"],
        view=config["towers"]["view"],
    )
