"""A packaged image tower with a classifier head, as one torch module."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from sports_clip_pipeline.models.head import Head
from sports_clip_pipeline.models.head_module import HeadModule
from sports_clip_pipeline.models.towers import load_image_tower


class TowerClassifier(nn.Module):
    """Pixels to pooled features to logits.

    Attributes:
        tower: the timm model, its own 1,000-class head unused.
        head: features (B, D) to logits (B, C).
    """

    def __init__(self, tower: str, weights: Mapping[str, np.ndarray], head: Head) -> None:
        super().__init__()
        self.tower: Any = load_image_tower(tower)
        if weights:
            self.tower.load_state_dict({key: torch.tensor(value) for key, value in weights.items()})
        self.head = HeadModule(head)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) to (B, C)."""
        features = self.tower.forward_head(self.tower.forward_features(pixels), pre_logits=True)
        return self.head(features)
