"""Image encoders by name (packaged or any of timm's), and their ImageNet classes."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from timm.data import ImageNetInfo
from torch import nn

from sports_clip_pipeline.data.transforms import ImageTransform
from sports_clip_pipeline.encoders.weights import (
    PACKAGED,
    EncoderWeights,
    HubFile,
    LocalFile,
    PackagedFile,
    RandomWeights,
    is_pair,
    load_every_key,
    seeded,
)
from sports_clip_pipeline.errors import UserFacingError


@dataclass(frozen=True)
class ImageEncoderSpec:
    """An image encoder of timm: its weights, and how to build it; pairs override the latter.

    Attributes:
        architecture: a text that describes the network completely, timm's name of it.
        weights: source of the weights.
        width: columns of the pooled features.
        own_size: the only input side that it supports, pixels; None for any.
        preprocessing: `mean`, `std` and `interpolation` of its training images.
    """

    architecture: str
    weights: EncoderWeights
    width: int
    own_size: int | None
    preprocessing: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """Of weights and architecture."""
        return self.weights.digest(self.architecture)

    def build(self) -> nn.Module:
        """The model with seeded random weights, in eval mode, with timm's API."""
        return seeded(timm.create_model, self.architecture).eval()

    def load(self) -> nn.Module:
        """The model with its weights; a classifier that the file lacks keeps its random weights.

        Raises: UserFacingError: package or file missing, or weights that do not match.
        """
        model, path = self.build(), self.weights.checked()
        if path is None:
            return model
        if path.suffix == ".safetensors":
            load_every_key(model, load_file(path), path, _classifier_keys(model))
            return model
        # The packaged checkpoints have timm's entries in timm's order under other names.
        packaged = torch.load(path, map_location="cpu", weights_only=True)
        own = model.state_dict()
        if len(own) != len(packaged):
            what = f"{len(packaged)} entries do not fit {len(own)} of timm's"
            raise UserFacingError(path, what, "reinstall timm")
        load_every_key(model, dict(zip(own, packaged.values(), strict=True)), path)
        return model

    def imagenet_classifier(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Weight (1000, D) and bias (1000,) float32 of its own classifier of ImageNet's classes.

        `features @ weight.T + bias` are its logits, in the order of `imagenet_classes`.

        Returns: None if its weights have no such classifier.
        Raises: UserFacingError: see `load`.
        """
        path = self.weights.checked()
        if path is None:
            return None
        model: Any = self.load()
        if path.suffix == ".safetensors":
            with safe_open(path, framework="numpy") as file:
                stored = set(file.keys())
            if model.num_classes != 1000 or not stored.issuperset(_classifier_keys(model)):
                return None
        head = model.get_classifier()
        return head.weight.detach().numpy().copy(), head.bias.detach().numpy().copy()

    def parameter_count(self) -> int:
        """Number of weights, without its own classifier."""
        model: Any = self.build()
        classifier = sum(weight.numel() for weight in model.get_classifier().parameters())
        return sum(weight.numel() for weight in model.parameters()) - classifier


def _packaged(architecture: str, width: int, file: dict[str, str], **_: Any) -> ImageEncoderSpec:
    training: Any = timm.get_pretrained_cfg(architecture)
    return ImageEncoderSpec(architecture, PackagedFile(**file), width, None, training.to_dict())


IMAGE_ENCODERS = {name: _packaged(**entry) for name, entry in PACKAGED["image"].items()}


def pooled(encoder: Any, pixels: torch.Tensor) -> torch.Tensor:
    """(B, 3, H, W) normalised pixels to (B, D) pooled features."""
    maps = encoder.forward_features(pixels)  # (B, K, h, w)
    return encoder.forward_head(maps, pre_logits=True)


def pooled_features(encoder: nn.Module, pixels: np.ndarray) -> np.ndarray:
    """(B, 3, H, W) float32 normalised pixels to (B, D) pooled features, by eager torch."""
    with torch.inference_mode():
        features: np.ndarray = pooled(encoder, torch.from_numpy(pixels)).numpy()
    return features


class PooledImageEncoder(nn.Module):
    """Pixels to pooled features and to the logits of the encoder's own classifier."""

    def __init__(self, trunk: nn.Module) -> None:
        super().__init__()
        self.trunk: Any = trunk

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, 3, H, W) to features (B, D) and logits (B, 1000)."""
        features = pooled(self.trunk, pixels)
        return features, self.trunk.get_classifier()(features)


def load_image_encoder(name: str) -> nn.Module:
    """`ImageEncoderSpec.load` by name. Raises: UserFacingError."""
    return image_encoder(name).load()


def image_preprocessing(name: str, size: int, view: str) -> ImageTransform:
    """An encoder's preprocessing at a size and view."""
    training = image_encoder(name).preprocessing
    statistics = {name: training[name] for name in ("mean", "std", "interpolation")}
    return ImageTransform(size=size, view=view, **statistics)


def check_image_size(name: str, size: int) -> None:
    """Raises: UserFacingError: the encoder supports only one size, and that is another."""
    required = image_encoder(name).own_size
    if required not in (None, size):
        what = f"{name} takes {required} pixels, got {size}"
        remedy = f"set embed.image_size={required}"
        raise UserFacingError("parameter embed.image_size", what, remedy)


def image_encoder(name: str) -> ImageEncoderSpec:
    """The image encoder of that name. Raises: UserFacingError: there is none."""
    if is_pair(name):
        # Imports open_clip, which other encoders do not need.
        from sports_clip_pipeline.encoders.open_clip_pairs import pair_spec

        return pair_spec(name)
    return IMAGE_ENCODERS[name] if name in IMAGE_ENCODERS else _by_architecture(name)


@cache
def _by_architecture(name: str) -> ImageEncoderSpec:
    kind, _, rest = name.partition("/")
    architecture, _, source = rest.partition("@")
    plain = architecture.split(".")[0]

    def refuse(what: str, remedy: str = "") -> UserFacingError:
        tags = ", ".join(timm.list_pretrained(f"{plain}.*")) or "none"
        return UserFacingError(
            f"image encoder {name!r}", what, remedy or f"pretrained ones are {tags}"
        )

    if kind != "timm" or not timm.is_model(plain):
        near = timm.list_models(f"*{plain}*")[:3] if kind == "timm" else []
        names = ", ".join(near or IMAGE_ENCODERS)
        raise refuse("is not known", f"use one of {names}, or another of timm's")
    try:
        model = seeded(timm.create_model, architecture)
    except RuntimeError as error:  # the tag is none of the architecture's
        raise refuse(str(error)) from error
    record = model.pretrained_cfg
    one_layer = model.head_hidden_size == model.num_features
    if not one_layer or isinstance(record.get("classifier"), tuple):
        raise refuse(
            "its classifier is not one layer on its pooled features",
            "use an architecture whose classifier is",
        )
    weights: EncoderWeights
    if source:
        weights = RandomWeights() if source == "random" else LocalFile(Path(source))
    elif record.get("hf_hub_id"):
        weights = HubFile(record["hf_hub_id"], "model.safetensors")
    else:
        raise refuse("the hub has no weights of it")
    own_size = record["input_size"][-1] if record.get("fixed_input_size") else None
    return ImageEncoderSpec(architecture, weights, model.num_features, own_size, record)


def _classifier_keys(model: Any) -> list[str]:
    """Keys of a timm model's own classifier in its state dict."""
    name = model.pretrained_cfg["classifier"]
    return [key for key in model.state_dict() if key.rpartition(".")[0] == name]


def imagenet_classes(definitions: bool = False) -> list[str]:
    """WordNet lemmas of the 1,000 classes in ILSVRC 2012's order, such as "tench, Tinca tinca".

    Args:
        definitions: with WordNet's definition, as in "tench, Tinca tinca: freshwater …".
    """
    return list(ImageNetInfo("imagenet-1k").label_descriptions(detailed=definitions))
