"""SigLIP's loss where one image may own several captions of the batch."""

from __future__ import annotations

import math

import torch
from torch.nn import functional

from sports_clip_pipeline.objectives.owners import check_owners


def multi_positive_siglip(
    image_emb: torch.Tensor,
    text_emb: torch.Tensor,
    owner: torch.Tensor,
    logit_scale: torch.Tensor,
    logit_bias: torch.Tensor,
) -> torch.Tensor:
    """Each caption with each image is a question of its own, whether they belong together.

    No softmax ties the pairs to each other, so several captions of an image need no special care.

    Args:
        image_emb: (N, D) unit-norm; each image of the batch once.
        text_emb: (M, D) unit-norm captions.
        owner: (M,) int64 in [0, N); the image that caption m describes.
        logit_scale: (), already exponentiated. logit_bias: (), added to the scaled cosines.
    Returns: the sum over all pairs by captions, (). Where every image owns one caption this is
        open_clip's `SigLipLoss`.
    Raises: ValueError: owner is not (M,).
    Source: Zhai et al. 2023, algorithm 1.
    """
    check_owners(owner, text_emb)
    logits = logit_scale * text_emb @ image_emb.T + logit_bias  # (M, N)
    sign = -torch.ones_like(logits)
    sign.scatter_(1, owner.unsqueeze(1), 1.0)
    return -functional.logsigmoid(sign * logits).sum() / len(text_emb)


def starting_bias(images: int) -> float:
    """The bias at which a batch of so many images starts with as much pull as push.

    Of N images one belongs to a caption, so the prior odds of a pair are 1 to N − 1. The published
    −10 is that of batches of 22,000.

    >>> round(starting_bias(128), 2)
    -4.84

    Raises: ValueError: fewer than two images.
    Source: Zhai et al. 2023, section 3.2.
    """
    if images < 2:
        raise ValueError(f"a batch holds at least 2 images, got {images}")
    return -math.log(images - 1)
