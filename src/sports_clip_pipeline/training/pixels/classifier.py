"""An image tower with a trainable head, and the forms that the head takes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from sports_clip_pipeline.data.transforms import ImagePreprocessing
from sports_clip_pipeline.predictor.head import Head, Operation
from sports_clip_pipeline.training.methods.interface import TextAnchors
from sports_clip_pipeline.training.pixels.prompts import ClassPrompts
from sports_clip_pipeline.training.pixels.squares import normalised

MAX_LOGIT_SCALE = math.log(100.0)


class PixelClassifier(nn.Module):
    """Pixels (B, 3, H, W) to logits (B, C).

    Attributes:
        tower: a timm model; its own 1,000-class head is neither used nor trained.
        head: one of the heads below.
    """

    def __init__(self, tower: Any, head: nn.Module) -> None:
        super().__init__()
        self.tower: Any = tower
        self.head: Any = head
        for parameter in tower.get_classifier().parameters():
            parameter.requires_grad_(False)

    def features(self, pixels: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) to pooled features (B, D)."""
        pooled: torch.Tensor = self.tower.forward_head(
            self.tower.forward_features(pixels), pre_logits=True
        )
        return pooled

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) to (B, C)."""
        logits: torch.Tensor = self.head(self.features(pixels))
        return logits


class LinearHead(nn.Module):
    """A new linear layer that starts at zero: every class equally probable."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, classes)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(B, D) to (B, C)."""
        logits: torch.Tensor = self.linear(features)
        return logits

    def exported(self) -> Head:
        """The same as operations over pooled features."""
        return Head((_affine(self.linear.weight, self.linear.bias),))


class TextHead(nn.Module):
    """The zero-shot head: pretrained projection, unit norm, text anchors as class weights.

    Source: Wortsman et al. 2022, section 3 (a classifier initialised with the text features).
    """

    def __init__(self, anchors: TextAnchors) -> None:
        super().__init__()
        self.projection = projection_of(anchors)
        scaled = anchors.anchors * np.float32(anchors.logit_scale)
        self.weight = nn.Parameter(torch.tensor(scaled, dtype=torch.float32))  # (C, P)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(B, D) to (B, C)."""
        return functional.normalize(self.projection(features), dim=1) @ self.weight.T

    def exported(self) -> Head:
        """The same as operations over pooled features."""
        embed = _affine(self.projection.weight, self.projection.bias)
        return Head((embed, Operation("l2_normalise"), _affine(self.weight)))


class ContrastiveHead(nn.Module):
    """Image and text projections of the contrastive model, over frozen text features.

    A class's anchor is the unit-norm mean of its prompts' unit-norm embeddings.
    """

    text_features: torch.Tensor
    membership: torch.Tensor

    def __init__(self, anchors: TextAnchors, prompts: ClassPrompts) -> None:
        super().__init__()
        self.projection = projection_of(anchors)
        self.text = nn.Linear(prompts.text_weight.shape[1], len(prompts.text_weight), bias=False)
        with torch.no_grad():
            self.text.weight.copy_(torch.tensor(prompts.text_weight))
        self.logit_scale = nn.Parameter(torch.tensor(math.log(anchors.logit_scale)))
        features = torch.tensor(prompts.features)  # (M, E)
        self.register_buffer("text_features", features, persistent=False)
        member = np.eye(len(anchors.anchors), dtype=np.float32)[prompts.owner]  # (M, C)
        shares = torch.tensor(member / member.sum(axis=0)).T.contiguous()  # (C, M)
        self.register_buffer("membership", shares, persistent=False)

    def embed(self, features: torch.Tensor) -> torch.Tensor:
        """(B, D) to unit-norm image embeddings (B, P)."""
        return functional.normalize(self.projection(features), dim=1)

    def embed_prompts(self, rows: torch.Tensor) -> torch.Tensor:
        """Rows (B,) of the prompts to unit-norm text embeddings (B, P)."""
        return functional.normalize(self.text(self.text_features[rows]), dim=1)

    def scale(self) -> torch.Tensor:
        """Of cosines, (), at most 100."""
        return self.logit_scale.clamp(0.0, MAX_LOGIT_SCALE).exp()

    def class_weights(self) -> torch.Tensor:
        """Scaled anchors (C, P) of the present text projection."""
        embedded = functional.normalize(self.text(self.text_features), dim=1)  # (M, P)
        return functional.normalize(self.membership @ embedded, dim=1) * self.scale()

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(B, D) to (B, C)."""
        return self.embed(features) @ self.class_weights().T

    def exported(self) -> Head:
        """The same as operations over pooled features."""
        embed = _affine(self.projection.weight, self.projection.bias)
        return Head((embed, Operation("l2_normalise"), _affine(self.class_weights())))


def projection_of(anchors: TextAnchors) -> nn.Linear:
    """The pretrained image projection as a trainable layer."""
    space, width = anchors.image_weight.shape
    layer = nn.Linear(width, space)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(anchors.image_weight))
        layer.bias.copy_(torch.tensor(anchors.image_bias))
    return layer


def pooled_squares(
    model: Any,
    squares: np.ndarray,
    preprocessing: ImagePreprocessing,
    views: Sequence[str],
    batch: int = 64,
) -> np.ndarray:
    """Pooled features of whole photographs, means over the views.

    Args:
        model: anything with a timm model as `.tower`; put in eval mode.
        squares: (N, S, S, 3) uint8.
        views: of `full` and `full_flip`.
    Returns: (N, D) float32.
    """
    tower = model.tower.eval().to(memory_format=torch.channels_last)
    device = next(tower.parameters()).device
    rows = []
    with torch.inference_mode():
        for start in range(0, len(squares), batch):
            pixels = normalised(squares[start : start + batch], preprocessing).to(device)
            seen = [pixels.flip(3) if view.endswith("_flip") else pixels for view in views]
            maps = [tower.forward_features(view) for view in seen]  # (B, K, h, w) each
            pooled = [tower.forward_head(view, pre_logits=True) for view in maps]  # (B, D) each
            rows.append(torch.stack(pooled).mean(dim=0).cpu().numpy())
    return np.concatenate(rows)


def _affine(weight: torch.Tensor, bias: torch.Tensor | None = None) -> Operation:
    kernel = weight.detach().cpu().numpy().astype(np.float32).copy()
    offset = np.zeros(len(kernel), np.float32)
    if bias is not None:
        offset = bias.detach().cpu().numpy().astype(np.float32).copy()
    return Operation("affine", {"weight": kernel, "bias": offset})
