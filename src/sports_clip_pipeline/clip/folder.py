"""Reads and writes the CLIP model as an open_clip folder, loadable from anywhere."""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import open_clip
import torch
from open_clip.tokenizer import HFTokenizer
from safetensors import safe_open
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
from sports_clip_pipeline.encoders.open_clip_pairs import CONFIG, WEIGHTS
from sports_clip_pipeline.encoders.weights import is_pair
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.io.state import replacing_folder

_TEXT_FILES = (
    "config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
    "vocab.txt",
)  # fmt: skip


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
    """Assemble the `CustomTextCLIP` and write it atomically.

    open_clip itself can load the folder if it supports both encoders and the projections are
    linear.

    Args:
        trained: trained weights of the encoders by their names in the model (`visual.trunk.…`,
            `text.transformer.…`). `encoders.trained` in the configuration names their encoders.
    Raises: ValueError: a trained weight is not one of the model's, or has another shape.
    """
    trained = trained or {}
    recipe = image_encoder, text_encoder, preprocessing, context_length
    config = clip_config(projections, *recipe, folder)
    prefixes = zip(("image", "text"), encoder_prefixes(is_pair(image_encoder)), strict=True)
    config["encoders"]["trained"] = [
        encoder for encoder, prefix in prefixes if any(name.startswith(prefix) for name in trained)
    ]
    weights = build_clip(projections, *recipe).state_dict()
    for name, value in trained.items():
        if name not in weights or weights[name].shape != value.shape:
            raise ValueError(f"the model has no weight {name} of shape {value.shape}")
        weights[name] = torch.from_numpy(np.array(value))
    source = text_encoders.text_encoder_spec(text_encoder).folder
    with replacing_folder(folder) as partial:
        for name in () if is_pair(text_encoder) else _TEXT_FILES:
            if (source / name).is_file():
                shutil.copyfile(source / name, partial / name)
        save_file({key: value.contiguous() for key, value in weights.items()}, partial / WEIGHTS)
        (partial / CONFIG).write_text(json.dumps(config, indent=2) + "\n")


def load_clip(path: str | Path) -> LoadedClip:
    """Load a CLIP folder, offline, from any path.

    Returns: the open_clip `CustomTextCLIP` in eval mode (`encode_image`, `encode_text`), its image
        preprocessing and its tokenizer.
    Raises: UserFacingError: a file of the folder is missing or does not match.
    """
    folder = Path(path).resolve()
    remedy = "run `kedro run --pipelines=pretrain` to make it again"
    try:
        config = _config(folder)
        state = load_file(folder / WEIGHTS)
    except Exception as error:
        raise UserFacingError(folder, f"is no whole CLIP folder ({error})", remedy) from error
    model = build_empty_clip(config, folder)
    missing, unexpected = model.load_state_dict(state, strict=False)
    if missing or unexpected:
        what = f"{len(missing)} weights are missing and {len(unexpected)} unexpected"
        raise UserFacingError(folder / WEIGHTS, what, remedy)
    text = config["model_cfg"]["text_cfg"]
    if "hf_model_name" in text:
        tokenizer: Callable[..., torch.Tensor] = HFTokenizer(str(folder), text["context_length"])
    else:
        tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    return LoadedClip(model.eval(), read_preprocessing(folder), tokenizer)


def relocate(folder: Path, target: Path) -> None:
    """Rewrite the absolute paths in the configuration of `folder`, which will move to `target`.

    open_clip looks on the hub for a text encoder that is not named by an absolute path.
    """
    config = _config(folder)
    if "hf_model_name" not in config["model_cfg"]["text_cfg"]:
        return
    for key in ("hf_model_name", "hf_tokenizer_name"):
        config["model_cfg"]["text_cfg"][key] = str(target.resolve())
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n")


def read_projections(path: str | Path) -> Projections:
    """The projections of a CLIP folder, without building its encoders."""
    config = _config(path)
    pair = config["encoders"].get("projections") == "none"
    prefixes = encoder_prefixes(pair)
    state = _read_weights(path, lambda name: not name.startswith(prefixes))
    return projections_of(state, config["model_cfg"]["embed_dim"] if pair else 0)


def read_preprocessing(path: str | Path) -> ImageTransform:
    """The image preprocessing of a CLIP folder."""
    config = _config(path)
    record = config["preprocess_cfg"]
    return ImageTransform(
        size=record["size"][0],
        mean=record["mean"],
        std=record["std"],
        interpolation=record["interpolation"],
        view=config["encoders"]["view"],
    )


def read_image_encoder(path: str | Path) -> dict[str, np.ndarray]:
    """The state dict of the image encoder, with its original classifier.

    Empty for a packaged encoder that was not trained.
    """
    name = _config(path)["encoders"]["image"]
    if "image" not in trained_encoders(path) and name in image_encoders.IMAGE_ENCODERS:
        return {}
    trunk = _read_encoder(path, "image")
    original = image_encoders.load_image_encoder(name).state_dict()
    return {key: trunk[key] if key in trunk else value.numpy() for key, value in original.items()}


def read_text_encoder(path: str | Path) -> dict[str, np.ndarray]:
    """The state dict of the text encoder; empty if it was not trained."""
    return _read_encoder(path, "text") if "text" in trained_encoders(path) else {}


def trained_encoders(path: str | Path) -> tuple[str, ...]:
    """Which of `image` and `text` were trained."""
    return tuple(_config(path)["encoders"].get("trained", ()))


def _config(path: str | Path) -> dict[str, Any]:
    return json.loads((Path(path) / CONFIG).read_text())


def _read_weights(path: str | Path, select: Callable[[str], bool]) -> dict[str, np.ndarray]:
    with safe_open(Path(path) / WEIGHTS, framework="numpy") as file:
        return {name: file.get_tensor(name) for name in file.keys() if select(name)}  # noqa: SIM118


def _read_encoder(path: str | Path, kind: str) -> dict[str, np.ndarray]:
    """The state dict of the `image` or `text` encoder, by the names of `load_…_encoder`."""
    pair = is_pair(_config(path)["encoders"][kind])
    prefix = encoder_prefixes(pair)[("image", "text").index(kind)]
    weights = _read_weights(path, lambda name: name.startswith(prefix))
    # A pair's encoders have the names of the whole model.
    return weights if pair else {key.removeprefix(prefix): v for key, v in weights.items()}
