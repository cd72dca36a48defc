"""Reads and writes the CLIP model as an open_clip folder, loadable from anywhere."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import open_clip
import torch
from open_clip.tokenizer import HFTokenizer
from safetensors.torch import load_file, save_file
from torch import nn

from sports_clip_pipeline.clip.model import (
    build_clip,
    build_empty_clip,
    clip_config,
    encoder_prefixes,
)
from sports_clip_pipeline.clip.projections import Projections, projections_of
from sports_clip_pipeline.data.transforms import ImageTransform
from sports_clip_pipeline.encoders import image_encoders, text_encoders
from sports_clip_pipeline.encoders.weights import is_pair
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.io.state import replacing_folder

WEIGHTS = "open_clip_model.safetensors"
CONFIG = "open_clip_config.json"
_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
)


class LoadedClip(NamedTuple):
    """A CLIP folder in memory: model in eval mode, preprocessing, tokenizer."""

    model: nn.Module
    preprocessing: ImageTransform
    tokenizer: Callable[..., torch.Tensor]

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        """(M, P) float32 unit-norm embeddings of M texts."""
        with torch.inference_mode():
            embedded: torch.Tensor = self.model.encode_text(  # type: ignore[operator]
                self.tokenizer(list(texts)), normalize=True
            )
        return embedded.float().numpy()


def write_clip_folder(
    folder: Path,
    projections: Projections,
    image_encoder: str,
    text_encoder: str,
    preprocessing: ImageTransform,
    context_length: int,
    trained: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Assemble the `CustomTextCLIP` and write it, whole or not at all.

    open_clip itself reads the folder where it knows both encoders and the projections are linear.

    Args:
        trained: weights of the encoders that are not those they came with, by their names in the
            model (`visual.trunk.…`, `text.transformer.…`). The folder's configuration says under
            `towers.trained` which encoders they belong to.
    Raises: ValueError: a trained weight is none of the model's, or has another shape.
    """
    trained = trained or {}
    recipe = image_encoder, text_encoder, preprocessing, context_length
    config = clip_config(projections, *recipe, folder)
    prefixes = encoder_prefixes(is_pair(image_encoder))
    config["towers"]["trained"] = [
        tower
        for tower, prefix in zip(("image", "text"), prefixes, strict=True)
        if any(name.startswith(prefix) for name in trained)
    ]
    weights = build_clip(projections, *recipe).state_dict()
    for name, value in trained.items():
        if name not in weights or weights[name].shape != value.shape:
            raise ValueError(f"the model has no weight {name} of shape {value.shape}")
        weights[name] = torch.from_numpy(np.array(value))
    source = text_encoders.text_encoder_spec(text_encoder).folder
    with replacing_folder(folder) as partial:
        for name in (*_TOKENIZER_FILES, "config.json"):
            if not is_pair(text_encoder) and (source / name).is_file():
                shutil.copyfile(source / name, partial / name)
        save_file({key: value.contiguous() for key, value in weights.items()}, partial / WEIGHTS)
        (partial / CONFIG).write_text(json.dumps(config, indent=2) + "\n")


def load_clip(path: str | Path) -> LoadedClip:
    """Load a CLIP folder, wherever it stands, without a network.

    Returns: the open_clip `CustomTextCLIP` in eval mode (`encode_image`, `encode_text`), the
        preprocessing of images, and the tokenizer of texts.
    Raises: UserFacingError: a file of the folder is missing or does not fit.
    """
    folder = Path(path).resolve()
    remedy = "run `kedro run --pipelines=pretrain` to make it again"
    try:
        config = json.loads((folder / CONFIG).read_text())
        state = load_file(folder / WEIGHTS)
    except Exception as error:
        raise UserFacingError(folder, f"is no whole CLIP folder ({error})", remedy) from error
    model = build_empty_clip(config, folder)
    missing, unexpected = model.load_state_dict(state, strict=False)
    if missing or unexpected:
        what = f"{len(missing)} weights are missing and {len(unexpected)} unexpected"
        raise UserFacingError(folder / WEIGHTS, what, remedy)
    return LoadedClip(model.eval(), _preprocessing(config), _tokenizer(config, folder))


def relocate(folder: Path, place: Path) -> None:
    """Make the configuration in `folder` name `place`, where the folder will stand.

    open_clip asks the hub for a text encoder that is not named by an absolute path.
    """
    config = json.loads((folder / CONFIG).read_text())
    if "hf_model_name" not in config["model_cfg"]["text_cfg"]:
        return
    for key in ("hf_model_name", "hf_tokenizer_name"):
        config["model_cfg"]["text_cfg"][key] = str(place.resolve())
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n")


def read_projections(path: str | Path) -> Projections:
    """The projections of a CLIP folder alone, without building its encoders."""
    from safetensors import safe_open

    config = json.loads((Path(path) / CONFIG).read_text())
    pair = config["towers"].get("projections") == "none"
    prefixes = encoder_prefixes(pair)
    with safe_open(Path(path) / WEIGHTS, framework="numpy") as file:
        names = [name for name in file.keys() if not name.startswith(prefixes)]  # noqa: SIM118
        own_width = config["model_cfg"]["embed_dim"] if pair else 0
        return projections_of({name: file.get_tensor(name) for name in names}, own_width)


def read_preprocessing(path: str | Path) -> ImageTransform:
    """The preprocessing that a CLIP folder records."""
    return _preprocessing(json.loads((Path(path) / CONFIG).read_text()))


def read_image_encoder(path: str | Path) -> dict[str, np.ndarray]:
    """The image encoder of a CLIP folder, as the state dict of its architecture.

    Empty for a packaged encoder that training left unchanged. The classifier is the one that it
    came with.
    """
    name = json.loads((Path(path) / CONFIG).read_text())["towers"]["image"]
    if "image" not in trained_encoders(path) and name in image_encoders.IMAGE_ENCODERS:
        return {}
    trunk = _read_encoder(path, "image")
    came_with = image_encoders.load_image_encoder(name).state_dict()
    return {key: trunk[key] if key in trunk else value.numpy() for key, value in came_with.items()}


def read_text_encoder(path: str | Path) -> dict[str, np.ndarray]:
    """The state dict of the trained text encoder; empty where it is the one it came with."""
    return _read_encoder(path, "text") if "text" in trained_encoders(path) else {}


def trained_encoders(path: str | Path) -> tuple[str, ...]:
    """Which of `image` and `text` a CLIP folder has trained."""
    return tuple(json.loads((Path(path) / CONFIG).read_text())["towers"].get("trained", ()))


def _read_encoder(path: str | Path, tower: str) -> dict[str, np.ndarray]:
    """The state dict of what `load_image_encoder` or `load_text_encoder` gives."""
    from safetensors import safe_open

    record = json.loads((Path(path) / CONFIG).read_text())["towers"]
    pair = is_pair(record[tower])
    prefix = encoder_prefixes(pair)[("image", "text").index(tower)]
    with safe_open(Path(path) / WEIGHTS, framework="numpy") as file:
        names = [name for name in file.keys() if name.startswith(prefix)]  # noqa: SIM118
        # A pair's encoders keep their names of the whole model.
        cut = 0 if pair else len(prefix)
        return {name[cut:]: file.get_tensor(name) for name in names}


def _tokenizer(config: dict[str, Any], folder: Path) -> Callable[..., torch.Tensor]:
    """open_clip's tokenizer for the folder."""
    if "hf_model_name" in config["model_cfg"]["text_cfg"]:
        length = config["model_cfg"]["text_cfg"]["context_length"]
        return HFTokenizer(str(folder), length)
    tokenizer: Callable[..., torch.Tensor] = open_clip.get_tokenizer(f"local-dir:{folder}")
    return tokenizer


def _preprocessing(config: dict[str, Any]) -> ImageTransform:
    record = config["preprocess_cfg"]
    return ImageTransform(
        size=record["size"][0],
        mean=tuple(record["mean"]),
        std=tuple(record["std"]),
        interpolation=record["interpolation"],
        view=config["towers"]["view"],
    )
