"""The 2022 notebook's loss: targets softened by how alike the pairs are among themselves."""

from __future__ import annotations

import torch
from torch.nn import functional

from sports_clip_pipeline.objectives.owners import check_owners


def soft_target_loss(
    image_emb: torch.Tensor, text_emb: torch.Tensor, owner: torch.Tensor, logit_scale: torch.Tensor
) -> torch.Tensor:
    """Cross-entropy to a target that pairs share with pairs that look or read like them.

    Every caption stands with its image as one pair. The target of a pair is the softmax of the mean
    of both similarities to every other pair; two captions of one image so share their target.
    Gradients flow through the targets too, as in the notebook. There embeddings have a length of
    their own and the temperature is 1; here they are unit-norm, and the scale is that length
    squared.

    Args:
        image_emb: (N, D) unit-norm. text_emb: (M, D) unit-norm.
        owner: (M,) int64 in [0, N); the image that caption m describes.
        logit_scale: (), already exponentiated.
    Returns: the mean over pairs of both directions, ().
    Raises: ValueError: owner is not (M,).
    Source: Shariatnia 2021 (Simple CLIP), `CLIPModel.forward`, which the notebook follows.
    """
    check_owners(owner, text_emb)
    paired = image_emb[owner]  # (M, D)
    logits = logit_scale * text_emb @ paired.T  # (M, M), a caption a row
    alike = (paired @ paired.T + text_emb @ text_emb.T) / 2
    target = functional.softmax(logit_scale * alike, dim=1)
    of_texts = _cross_entropy(logits, target)
    of_images = _cross_entropy(logits.T, target.T)
    return (of_texts + of_images) / 2


def _cross_entropy(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return -(target * functional.log_softmax(logits, dim=1)).sum(dim=1).mean()
