"""Free text as a classifier: how well an image fits each of a few sentences, through CLIP."""

from __future__ import annotations

import torch
from torch import nn

from sports_clip_pipeline.models.clip_parts import image_encoder


class TextTarget(nn.Module):
    """Pixels (B, 3, H, W) to scores (B, P): logit scale × cosine with each of P texts.

    Args:
        clip: an open_clip model with `encode_image` and `logit_scale`.
        text_emb: (P, E) float32, unit-norm.
    """

    text_emb: torch.Tensor

    def __init__(self, clip: nn.Module, text_emb: torch.Tensor) -> None:
        super().__init__()
        self.clip = clip
        self.register_buffer("text_emb", text_emb.detach().clone(), persistent=False)

    @property
    def tower(self) -> nn.Module:
        """The image tower below the projection."""
        return image_encoder(self.clip)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) to (B, P)."""
        image_emb: torch.Tensor = self.clip.encode_image(pixels, normalize=True)  # type: ignore[operator]
        return self.clip.logit_scale.exp() * image_emb @ self.text_emb.T  # type: ignore[operator]
