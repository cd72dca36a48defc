"""The losses by name, behind one signature."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

import torch

from sports_clip_pipeline.objectives import contrastive, siglip, soft_targets

Loss = Callable[
    [torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor | None], torch.Tensor
]


@dataclass(frozen=True)
class Objective:
    """A loss of image and caption embeddings.

    Attributes:
        loss: of image_emb (N, D) and text_emb (M, D), both unit-norm, owner (M,) int64,
            logit_scale () and logit_bias () or None; to ().
        module: where it stands, for fingerprints.
        biased: whether it wants a bias, which is learned.
    """

    loss: Loss
    module: ModuleType
    biased: bool = False

    def starting_bias(self, images: int) -> float | None:
        """Where the bias starts for batches of so many images; None where there is none."""
        return siglip.starting_bias(images) if self.biased else None


def _info_nce(
    image_emb: torch.Tensor,
    text_emb: torch.Tensor,
    owner: torch.Tensor,
    logit_scale: torch.Tensor,
    logit_bias: torch.Tensor | None,
) -> torch.Tensor:
    return contrastive.multi_positive_info_nce(image_emb, text_emb, owner, logit_scale)


def _siglip(
    image_emb: torch.Tensor,
    text_emb: torch.Tensor,
    owner: torch.Tensor,
    logit_scale: torch.Tensor,
    logit_bias: torch.Tensor | None,
) -> torch.Tensor:
    assert logit_bias is not None
    return siglip.multi_positive_siglip(image_emb, text_emb, owner, logit_scale, logit_bias)


def _soft_targets(
    image_emb: torch.Tensor,
    text_emb: torch.Tensor,
    owner: torch.Tensor,
    logit_scale: torch.Tensor,
    logit_bias: torch.Tensor | None,
) -> torch.Tensor:
    return soft_targets.soft_target_loss(image_emb, text_emb, owner, logit_scale)


OBJECTIVES = {
    "info_nce": Objective(_info_nce, contrastive),
    "siglip": Objective(_siglip, siglip, biased=True),
    "soft_targets": Objective(_soft_targets, soft_targets),
}
