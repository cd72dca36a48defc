"""Pairs of encoders of open_clip's own table: one name for both, and for their shared space.

`open_clip/<architecture>@<tag>` takes the weights from the hub, `…@<folder>` from a folder in
open_clip's form, `…@<file.safetensors>` from a file, and `…@random` initialises them. Pooled
features of such encoders are their embeddings in the shared space before unit norm.
"""

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
from safetensors.torch import load_file
from torch import nn

from sports_clip_pipeline.data.captions import Tokens, clean_caption
from sports_clip_pipeline.encoders.image_encoders import ImageEncoderSpec
from sports_clip_pipeline.encoders.weights import (
    EncoderWeights,
    HubFile,
    LocalFile,
    RandomWeights,
    load_every_key,
    seeded,
)
from sports_clip_pipeline.errors import UserFacingError

WEIGHTS = "open_clip_model.safetensors"
CONFIG = "open_clip_config.json"


class PairImage(nn.Module):
    """The image encoder of a pair with the methods of a timm model."""

    def __init__(self, pair: Any) -> None:
        super().__init__()
        self.visual = pair.visual

    def forward_features(self, pixels: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) to (B, P)."""
        return self.visual(pixels)

    def forward_head(self, features: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        """The identity, (B, P)."""
        return features

    def get_classifier(self) -> nn.Module:
        """There is none."""
        return nn.Identity()


@dataclass(frozen=True)
class PairSpec(ImageEncoderSpec):
    """A pair of encoders as its image encoder; `width` and `digest` are the text encoder's too.

    Attributes:
        architecture: its configuration as JSON.
        model_config: the configuration, as in open_clip's table.
        open_clip_name: its name in that table, or `local-dir:<folder>`.
    """

    model_config: dict[str, Any]
    open_clip_name: str

    @property
    def context_length(self) -> int:
        """Tokens of every text, with padding."""
        return int(self.model_config["text_cfg"].get("context_length", 77))

    def load_pair(self) -> nn.Module:
        """open_clip's `CustomTextCLIP` with its weights, in eval mode. Raises: UserFacingError."""
        model = build_pair(self.model_config)
        path = self.weights.checked()
        if path is not None:
            load_every_key(model, convert_to_custom_text_state_dict(load_file(path)), path)
        return model

    def build(self) -> nn.Module:
        """The image encoder of `build_pair`."""
        return PairImage(build_pair(self.model_config)).eval()

    def load(self) -> nn.Module:
        """The image encoder of `load_pair`."""
        return PairImage(self.load_pair()).eval()

    def imagenet_classifier(self) -> None:
        """There is none."""


class PairText(nn.Module):
    """The text encoder of a pair; finds the end of a text by itself, without the mask."""

    def __init__(self, pair: Any) -> None:
        super().__init__()
        self.text = pair.text

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """(B, T) int64 ids, padded by its tokenizer, to (B, P)."""
        return self.text(ids)


class PairTokenizer:
    """The tokenizer of a pair's text encoder.

    All rows have the context length: some of these encoders pool the last token, whatever it is.
    """

    def __init__(self, spec: PairSpec) -> None:
        self._tokenizer: Any = open_clip.get_tokenizer(spec.open_clip_name)
        self.context_length = spec.context_length

    def __call__(self, texts: Sequence[str]) -> Tokens:
        """Tokens of cleaned texts, with padding."""
        cleaned = [clean_caption(text) for text in texts]
        block = self._tokenizer(cleaned, context_length=self.context_length)
        return Tokens(list(block.numpy().astype(np.int32)), self._truncated(cleaned, block))

    def _truncated(self, texts: list[str], block: torch.Tensor) -> np.ndarray:
        """(B,) bool: a truncated text has one more token at a longer context length."""
        if hasattr(self._tokenizer, "encode"):  # CLIP's own, which pads with the id of a token
            lengths = [len(self._tokenizer.encode(text)) + 2 for text in texts]
            return np.array(lengths) > self.context_length
        longer = self._tokenizer(texts, context_length=self.context_length + 1)
        padding = self._tokenizer.tokenizer.pad_token_id
        truncated = (longer != padding).sum(dim=1) > (block != padding).sum(dim=1)
        return truncated.numpy()


@cache
def pair_spec(name: str) -> PairSpec:
    """The record of a pair.

    Raises: UserFacingError: open_clip does not know it, or its model is not supported.
    """
    architecture, _, source = name.removeprefix("open_clip/").partition("@")
    folder = Path(source)
    if source and (folder / CONFIG).is_file():
        record = json.loads((folder / CONFIG).read_text())
        local = f"local-dir:{folder.resolve()}"
        weights = LocalFile(folder / WEIGHTS)
        spec = _spec(local, record["model_cfg"], weights, record.get("preprocess_cfg", {}))
    else:
        spec = _of_table(name, architecture, source)
    if "multimodal_cfg" in spec.model_config:
        raise _refusal(name, "it writes captions as well", "use one that has two encoders alone")
    if "hf_model_name" in spec.model_config["text_cfg"]:
        remedy = "name the encoders separately: timm/<architecture> and hf/<model>"
        raise _refusal(name, "its text encoder is one of Hugging Face's", remedy)
    return spec


def _refusal(name: str, what: str, remedy: str) -> UserFacingError:
    return UserFacingError(f"pair {name!r}", what, remedy)


def build_pair(model_config: dict[str, Any]) -> nn.Module:
    """The model of a configuration with seeded random weights, in eval mode."""
    config = deepcopy(model_config)
    config.pop("custom_text", None)
    if "timm_model_name" in config["vision_cfg"]:
        config["vision_cfg"]["timm_model_pretrained"] = False
    return seeded(open_clip.CustomTextCLIP, **config).eval()


def _of_table(name: str, architecture: str, source: str) -> PairSpec:
    config = open_clip.get_model_config(architecture)
    if config is None:
        near = [model for model in open_clip.list_models() if architecture.lower() in model.lower()]
        names = ", ".join(near[:3] or ["ViT-B-32", "RN50"])
        raise _refusal(name, "is not known", f"use one of open_clip's: {names}")
    if source == "random":
        return _spec(architecture, config, RandomWeights())
    if source.endswith(".safetensors"):
        return _spec(architecture, config, LocalFile(Path(source)))
    tag = open_clip.get_pretrained_cfg(architecture, source)
    if not tag.get("hf_hub"):
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(architecture)) or "none"
        wanted = f"wanted a tag on the hub, a folder with {CONFIG}, a .safetensors file, or random"
        what = f"{source or 'no weights'}: {wanted}"
        raise _refusal(name, what, f"tags of {architecture} are {tags}")
    if tag.get("quick_gelu"):
        config["quick_gelu"] = True
    repository, _, file = tag["hf_hub"].rpartition("/")
    if file and not file.endswith(".safetensors"):
        remedy = "use another tag, or a local file"
        raise _refusal(name, f"the hub has it as {file} alone", remedy)
    return _spec(architecture, config, HubFile(repository, file or WEIGHTS), tag)


def _spec(
    name: str, config: dict[str, Any], weights: EncoderWeights, training: Mapping[str, Any] = {}
) -> PairSpec:
    """`training` has mean, std and interpolation of the training images; OpenAI's by default."""
    preprocessing = {
        "mean": training.get("mean") or open_clip.OPENAI_DATASET_MEAN,
        "std": training.get("std") or open_clip.OPENAI_DATASET_STD,
        "interpolation": training.get("interpolation") or "bicubic",
    }
    size, width = config["vision_cfg"].get("image_size", 224), config["embed_dim"]
    description = json.dumps(config, sort_keys=True)
    return PairSpec(description, weights, width, size, preprocessing, config, name)
