"""Pairs of encoders of open_clip's own table: one name for both, and for the space they share.

`open_clip/<architecture>@<tag>` takes the weights from the hub, `…@<folder>` from a folder in
open_clip's form, `…@<file.safetensors>` from a file, and `…@random` draws them anew. Such encoders
end in the shared space themselves: their pooled features are their embeddings before unit norm.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from open_clip.model import convert_to_custom_text_state_dict
from torch import nn

from sports_clip_pipeline.data.captions import Tokens, clean_caption
from sports_clip_pipeline.encoders.weights import (
    EncoderWeights,
    HubFile,
    LocalFile,
    RandomWeights,
    digest_of,
    load_every_key,
    seeded,
)
from sports_clip_pipeline.errors import UserFacingError

WEIGHTS = "open_clip_model.safetensors"
CONFIG = "open_clip_config.json"
_CONTEXT = 77  # open_clip's, where a configuration says none


@dataclass(frozen=True)
class PairSpec:
    """A pair of encoders.

    Attributes:
        architecture: open_clip's name of it, or `local-dir:<folder>`.
        model_config: open_clip's description of the model.
        preprocessing: `mean`, `std`, `interpolation` of the images it was trained on.
        weights: where they come from.
    """

    architecture: str
    model_config: dict[str, Any]
    preprocessing: dict[str, Any]
    weights: EncoderWeights

    @property
    def width(self) -> int:
        """Of the shared space."""
        return int(self.model_config["embed_dim"])

    @property
    def digest(self) -> str:
        """Of the weights and the model."""
        return digest_of(self.weights, json.dumps(self.model_config, sort_keys=True))

    @property
    def image_size(self) -> int:
        """Side of the square that it sees, pixels."""
        return int(self.model_config["vision_cfg"].get("image_size", 224))

    @property
    def context_length(self) -> int:
        """Tokens of every text, padding among them."""
        return int(self.model_config["text_cfg"].get("context_length", _CONTEXT))


class PairImage(nn.Module):
    """The image encoder of a pair, behind the functions that timm's models have."""

    def __init__(self, visual: nn.Module) -> None:
        super().__init__()
        self.visual = visual

    def forward_features(self, pixels: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) to (B, P)."""
        embedded: torch.Tensor = self.visual(pixels)
        return embedded

    def forward_head(self, features: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        """(B, P) as they are."""
        return features

    def get_classifier(self) -> nn.Module:
        """It names no classes."""
        return nn.Identity()


@dataclass(frozen=True)
class PairImageEncoder:
    """The image encoder of a pair, as an `ImageEncoderSpec`.

    Attributes:
        spec: of the pair. name: of the pair.
    """

    spec: PairSpec
    name: str

    @property
    def weights(self) -> EncoderWeights:
        """Of the pair."""
        return self.spec.weights

    @property
    def digest(self) -> str:
        """See `PairSpec.digest`."""
        return self.spec.digest

    @property
    def width(self) -> int:
        """Of the shared space."""
        return self.spec.width

    @property
    def own_size(self) -> int | None:
        """Of its position embeddings or its attention pool."""
        return self.spec.image_size

    def load(self) -> nn.Module:
        """See `load_pair`."""
        pair: Any = load_pair(self.name)
        return PairImage(pair.visual).eval()

    def build(self) -> nn.Module:
        """See `build_pair`."""
        pair: Any = build_pair(self.spec.model_config)
        return PairImage(pair.visual).eval()

    def record(self) -> Mapping[str, Any]:
        """See `PairSpec.preprocessing`."""
        return self.spec.preprocessing

    def names_imagenet(self) -> bool:
        """It has no classifier."""
        return False

    def parameter_count(self) -> int:
        """All of the image encoder."""
        return sum(weight.numel() for weight in self.build().parameters())


class PairText(nn.Module):
    """The text encoder of a pair: token ids, padded as its tokenizer does, to (B, P)."""

    def __init__(self, text: nn.Module) -> None:
        super().__init__()
        self.text = text

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """(B, T) int64 ids to (B, P); it finds the end of a text by itself, without the mask."""
        embedded: torch.Tensor = self.text(ids)
        return embedded


class PairTokenizer:
    """The tokenizer of a pair's text encoder.

    Its rows have all one length: some of these encoders read the last token, whatever it is.
    """

    def __init__(self, spec: PairSpec) -> None:
        self._tokenizer: Any = open_clip.get_tokenizer(spec.architecture)
        self.context_length = spec.context_length

    def __call__(self, texts: Sequence[str]) -> Tokens:
        """Tokens of cleaned texts, padding among them."""
        cleaned = [clean_caption(text) for text in texts]
        block = self._tokenizer(cleaned, context_length=self.context_length)
        return Tokens(list(block.numpy().astype(np.int32)), self._are_cut(cleaned, block))

    def _are_cut(self, texts: list[str], block: torch.Tensor) -> np.ndarray:
        """(B,) bool: with room for one more, a text that is cut has one token more."""
        if hasattr(self._tokenizer, "encode"):  # CLIP's own, which pads with the id of a token
            lengths = [len(self._tokenizer.encode(text)) + 2 for text in texts]
            return np.array(lengths) > self.context_length
        longer = self._tokenizer(texts, context_length=self.context_length + 1)
        padding = self._tokenizer.tokenizer.pad_token_id
        more = (longer != padding).sum(dim=1) > (block != padding).sum(dim=1)
        return more.numpy()


@cache
def pair_spec(name: str) -> PairSpec:
    """The record of a pair.

    Raises: UserFacingError: open_clip does not know it, or a folder is not whole.
    """
    architecture, _, source = name.removeprefix("open_clip/").partition("@")
    folder = Path(source)
    if source and (folder / CONFIG).is_file():
        spec = _of_folder(folder)
    else:
        spec = _of_table(name, architecture, source)
    if "multimodal_cfg" in spec.model_config:
        raise UserFacingError(
            f"pair {name!r}", "it writes captions as well", "use one that has two encoders alone"
        )
    if "hf_model_name" in spec.model_config["text_cfg"]:
        raise UserFacingError(
            f"pair {name!r}",
            "its text encoder is one of Hugging Face's",
            "name the encoders separately: timm/<architecture> and hf/<model>",
        )
    return spec


def load_pair(name: str) -> nn.Module:
    """open_clip's `CustomTextCLIP` with its weights, in eval mode. Raises: UserFacingError."""
    from safetensors.torch import load_file

    spec = pair_spec(name)
    model = build_pair(spec.model_config)
    path = spec.weights.checked()
    if path is not None:
        load_every_key(model, convert_to_custom_text_state_dict(load_file(path)), path)
    return model.eval()


def build_pair(model_config: dict[str, Any]) -> nn.Module:
    """The model that a configuration describes, with the seed's random weights, in eval mode."""
    config = deepcopy(model_config)
    config.pop("custom_text", None)
    if "timm_model_name" in config["vision_cfg"]:
        config["vision_cfg"]["timm_model_pretrained"] = False
    model: nn.Module = seeded(open_clip.CustomTextCLIP, **config)
    return model.eval()


def _of_folder(folder: Path) -> PairSpec:
    record = json.loads((folder / CONFIG).read_text())
    weights = LocalFile(folder / WEIGHTS)
    place = f"local-dir:{folder.resolve()}"
    return PairSpec(place, record["model_cfg"], _seen(record.get("preprocess_cfg", {})), weights)


def _of_table(name: str, architecture: str, source: str) -> PairSpec:
    config = open_clip.get_model_config(architecture)
    if config is None:
        near = [known for known in open_clip.list_models() if architecture.lower() in known.lower()]
        known = ", ".join(near[:3] or ["ViT-B-32", "RN50"])
        raise UserFacingError(f"pair {name!r}", "is not known", f"use one of open_clip's: {known}")
    if source == "random":
        return PairSpec(architecture, config, _seen({}), RandomWeights(json.dumps(config)))
    if source.endswith(".safetensors"):
        return PairSpec(architecture, config, _seen({}), LocalFile(Path(source)))
    tag = open_clip.get_pretrained_cfg(architecture, source)
    if not tag.get("hf_hub"):
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(architecture))
        raise UserFacingError(
            f"pair {name!r}",
            f"{source or 'no weights'}: wanted a tag on the hub, a folder with {CONFIG}, a "
            ".safetensors file, or random",
            f"tags of {architecture} are {tags or 'none'}",
        )
    if tag.get("quick_gelu"):
        config["quick_gelu"] = True
    repository, _, file = tag["hf_hub"].rpartition("/")
    if file and not file.endswith(".safetensors"):
        raise UserFacingError(
            f"pair {name!r}", f"the hub has it as {file} alone", "use another tag, or a local file"
        )
    hub = HubFile(repository, file or WEIGHTS)
    return PairSpec(architecture, config, _seen(tag), hub)


def _seen(record: dict[str, Any]) -> dict[str, Any]:
    """Mean, spread and interpolation; OpenAI's where a record does not say."""
    return {
        "mean": tuple(record.get("mean") or open_clip.OPENAI_DATASET_MEAN),
        "std": tuple(record.get("std") or open_clip.OPENAI_DATASET_STD),
        "interpolation": record.get("interpolation") or "bicubic",
    }
