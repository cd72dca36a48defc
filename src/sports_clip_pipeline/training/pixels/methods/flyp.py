"""Fine-tune like you pretrain: the contrastive loss between photographs and class prompts.

The text tower's features of the prompts are fixed; both projections, the scale and the image tower
train, from the zero-shot model. With two dozen classes a batch holds several photographs of one
class; they share their prompts as positives, where plain contrast would push them apart.

Source: Goyal et al. 2023 (Finetune like you pretrain), section 3; Yang et al. 2022 (UniCL),
equation 3, for the shared positives.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from sports_clip_pipeline.pipelines.finetune.config import EndToEndConfig
from sports_clip_pipeline.training.pixels.classifier import ContrastiveHead, PixelClassifier
from sports_clip_pipeline.training.pixels.methods.interface import Batch, PixelMethod, Start


def build(start: Start, config: EndToEndConfig, seed: int) -> PixelClassifier:
    """The contrastive model as pretrained."""
    return PixelClassifier(start.zero_shot(), ContrastiveHead(start.anchors, start.prompts))


def loss(model: PixelClassifier, batch: Batch, config: EndToEndConfig) -> torch.Tensor:
    """Contrast of the photographs with one random prompt of each one's class."""
    member = model.head.membership.cpu().numpy() > 0  # (C, M)
    drawn = [batch.rng.choice(np.flatnonzero(member[c])) for c in batch.target.tolist()]
    rows = torch.tensor(np.array(drawn), device=batch.pixels.device)
    image_emb = model.head.embed(model.features(batch.pixels))
    return class_contrast(
        image_emb, model.head.embed_prompts(rows), batch.target, model.head.scale()
    )


def class_contrast(
    image_emb: torch.Tensor, text_emb: torch.Tensor, target: torch.Tensor, scale: torch.Tensor
) -> torch.Tensor:
    """Contrastive loss in both directions, all pairs of one class being positives.

    Args:
        image_emb: (B, P) unit-norm. text_emb: (B, P) unit-norm; row b is of image b's class.
        target: (B,) int64. scale: () of the cosines.
    Returns: (). Where all classes differ it is CLIP's loss.
    """
    logits = scale * image_emb @ text_emb.T  # (B, B)
    same = (target[:, None] == target[None, :]).float()
    wanted = same / same.sum(dim=1, keepdim=True)  # symmetric, as a class's rows are alike
    to_text = functional.cross_entropy(logits, wanted)
    return (to_text + functional.cross_entropy(logits.T, wanted)) / 2


METHOD = PixelMethod(build, loss=loss)
