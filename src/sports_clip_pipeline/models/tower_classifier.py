"""Image towers with one classifier head, as one torch module."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from sports_clip_pipeline.models.head import Head
from sports_clip_pipeline.models.head_module import HeadModule
from sports_clip_pipeline.models.image_towers import image_encoder, load_image_tower
from sports_clip_pipeline.preprocessing.images import ImagePreprocessing


class CompanionTower(nn.Module):
    """A further tower that is handed the first tower's pixels.

    They are resized bilinearly where it wants another size, and normalised anew where it wants
    another mean or spread, so gradients reach the pixels through it as well.
    """

    def __init__(self, tower: str, wanted: ImagePreprocessing, given: ImagePreprocessing) -> None:
        """A tower by name, the preprocessing it wants, and the one the pixels come with."""
        super().__init__()
        self.tower: Any = load_image_tower(tower)
        self.size = wanted.size
        for name, value in _renormalisation(wanted, given).items():
            self.register_buffer(name, value)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) of the first tower to this tower's features (B, D)."""
        if pixels.shape[-2:] != (self.size, self.size):
            pixels = functional.interpolate(
                pixels, (self.size, self.size), mode="bilinear", align_corners=False
            )
        pixels = pixels * self.get_buffer("factor") + self.get_buffer("shift")
        return pooled(self.tower, pixels)


class TowerClassifier(nn.Module):
    """Pixels to pooled features of all towers, side by side, to logits.

    Attributes:
        tower: the timm model of the first tower, its own 1,000-class head unused.
        additional_encoders: further towers, in the order of their columns.
        head: features (B, ΣD) to logits (B, C).
    """

    def __init__(
        self,
        tower: str,
        weights: Mapping[str, np.ndarray],
        head: Head,
        additional_encoders: Sequence[CompanionTower] = (),
    ) -> None:
        """The first tower by name, its own weights (empty for those its name says), the rest."""
        super().__init__()
        self.tower: Any = image_encoder(tower).build() if weights else load_image_tower(tower)
        if weights:
            self.tower.load_state_dict({key: torch.tensor(value) for key, value in weights.items()})
        self.additional_encoders = nn.ModuleList(additional_encoders)
        self.head = HeadModule(head)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W), as the first tower wants them, to (B, C)."""
        features = [
            pooled(self.tower, pixels),
            *(other(pixels) for other in self.additional_encoders),
        ]
        return self.head(torch.cat(features, dim=1))  # (B, ΣD) to (B, C)

    def under(self, head: Head) -> TowerClassifier:
        """The same towers, not copies of them, under another head."""
        other = copy.copy(self)
        other._modules = {**self._modules, "head": HeadModule(head)}
        return other


def pooled(tower: Any, pixels: torch.Tensor) -> torch.Tensor:
    """(B, 3, H, W) to the pooled features (B, D) of a timm model."""
    features: torch.Tensor = tower.forward_head(tower.forward_features(pixels), pre_logits=True)
    return features


def _renormalisation(
    wanted: ImagePreprocessing, given: ImagePreprocessing
) -> dict[str, torch.Tensor]:
    """`factor` and `shift` (1, 3, 1, 1) that turn given pixels into wanted ones."""
    mean, std = (torch.tensor([given.mean, wanted.mean]), torch.tensor([given.std, wanted.std]))
    return {
        "factor": (std[0] / std[1]).reshape(1, 3, 1, 1),
        "shift": ((mean[0] - mean[1]) / std[1]).reshape(1, 3, 1, 1),
    }
