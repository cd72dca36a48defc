"""Low-rank updates of a tower's attention; its own weights stay as they were.

Source: Hu et al. 2022 (LoRA), section 4.1; Zanella and Ben Ayed 2024 (CLIP-LoRA) for few labels.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.pipelines.finetune.config import EndToEndConfig
from sports_clip_pipeline.training.pixels.classifier import PixelClassifier, TextHead
from sports_clip_pipeline.training.pixels.methods.interface import PixelMethod, Start

_LAYERS = ("qkv", "proj")


class LowRankLinear(nn.Module):
    """x Wᵀ + b + (alpha / rank) x Aᵀ Bᵀ, with W and b frozen and B zero at the start."""

    def __init__(self, base: nn.Linear, rank: int, alpha: float, seed: int) -> None:
        super().__init__()
        self.base = base
        for parameter in base.parameters():
            parameter.requires_grad_(False)
        generator = torch.Generator().manual_seed(seed)
        bound = 1.0 / math.sqrt(base.in_features)
        down = torch.empty(rank, base.in_features).uniform_(-bound, bound, generator=generator)
        self.down = nn.Parameter(down)  # A (rank, In)
        self.up = nn.Parameter(torch.zeros(base.out_features, rank))  # B (Out, rank)
        self.scale = alpha / rank

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """(…, In) to (…, Out)."""
        update = functional.linear(functional.linear(values, self.down), self.up)
        return self.base(values) + self.scale * update

    def merged(self) -> nn.Linear:
        """One plain layer that does the same."""
        layer = nn.Linear(self.base.in_features, self.base.out_features, self.base.bias is not None)
        with torch.no_grad():
            layer.weight.copy_(self.base.weight + self.scale * self.up @ self.down)
            if self.base.bias is not None:
                layer.bias.copy_(self.base.bias)
        return layer


def build(start: Start, config: EndToEndConfig, seed: int) -> PixelClassifier:
    """Zero-shot start whose attention layers carry updates; only those and the head train."""
    tower = start.zero_shot()
    inject(tower, config.lora_rank, config.lora_alpha, seed)
    return PixelClassifier(tower, TextHead(start.anchors))


def inject(tower: nn.Module, rank: int, alpha: float, seed: int) -> None:
    """Freeze the tower and put an update beside `qkv` and `proj` of each attention of it.

    Raises: UserFacingError: the tower has no attention.
    """
    for parameter in tower.parameters():
        parameter.requires_grad_(False)
    found = 0
    for name, module in list(tower.named_modules()):
        if name.rpartition(".")[2] != "attn":
            continue
        for layer in _LAYERS:
            base = getattr(module, layer, None)
            if isinstance(base, nn.Linear):
                setattr(module, layer, LowRankLinear(base, rank, alpha, seed + found))
                found += 1
    if not found:
        raise UserFacingError(
            "method lora",
            "the image tower has no attention layers to update",
            "leave lora out of pixels.methods, or use a tower with attention",
        )


def merge(tower: Any) -> None:
    """Turn every updated layer into a plain one; the tower has its first architecture again."""
    for module in list(tower.modules()):
        for layer in _LAYERS:
            updated = getattr(module, layer, None)
            if isinstance(updated, LowRankLinear):
                setattr(module, layer, updated.merged())


METHOD = PixelMethod(
    build,
    peak_lr=lambda config: config.lora_lr,
    finish=merge,
    statistics="kept",
    settings=("lora_rank", "lora_alpha", "lora_lr"),
)
