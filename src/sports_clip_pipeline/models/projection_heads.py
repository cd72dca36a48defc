"""Trainable projections: pooled features to the shared space."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

NOTEBOOK_DROPOUT = 0.1


class NotebookHead(nn.Module):
    """The 2022 notebook's projection head: two layers around a residual, and a layer norm.

    Source: Shariatnia 2021 (Simple CLIP), `ProjectionHead`, which the notebook follows.
    """

    def __init__(self, width: int, embed_dim: int) -> None:
        super().__init__()
        self.projection = nn.Linear(width, embed_dim)
        self.fc = nn.Linear(embed_dim, embed_dim)
        self.dropout = nn.Dropout(NOTEBOOK_DROPOUT)
        self.layer_norm = nn.LayerNorm(embed_dim)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(B, D) to (B, P)."""
        projected = self.projection(features)
        deeper = self.dropout(self.fc(functional.gelu(projected)))
        normed: torch.Tensor = self.layer_norm(projected + deeper)
        return normed


def build_head(kind: str, width: int, embed_dim: int, bias: bool) -> nn.Module:
    """A projection by the name that `pretrain.projections` gives it.

    Args:
        bias: of a linear one.
    """
    if kind == "notebook":
        return NotebookHead(width, embed_dim)
    return nn.Linear(width, embed_dim, bias=bias)


def first_layer(head: Any) -> nn.Linear:
    """The layer that sees the features."""
    layer: nn.Linear = head if isinstance(head, nn.Linear) else head.projection
    return layer
