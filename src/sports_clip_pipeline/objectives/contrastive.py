"""Contrastive losses that know several captions of one image."""

from __future__ import annotations

import torch
from torch.nn import functional

from sports_clip_pipeline.objectives.owners import check_owners


def multi_positive_info_nce(
    image_emb: torch.Tensor, text_emb: torch.Tensor, owner: torch.Tensor, logit_scale: torch.Tensor
) -> torch.Tensor:
    """InfoNCE where an image owns every caption of its own in the batch.

    Captions look for their one image; images spread their target evenly over their captions, so
    that no caption of an image is pushed away from it, as plain InfoNCE does on Flickr8k.

    Args:
        image_emb: (N, D) unit-norm; each image of the batch once.
        text_emb: (M, D) unit-norm; M >= N captions.
        owner: (M,) int64 in [0, N); the image that caption m describes; every image owns one.
        logit_scale: (), already exponentiated.
    Returns: the mean of both directions, (). Where every image owns one caption this is
        open_clip's `ClipLoss`.
    Raises: ValueError: owner is not (M,), or an image owns no caption.
    Source: Khosla et al. 2020, equation 2; Yang et al. 2022 (UniCL), equation 3.
    """
    check_owners(owner, text_emb)
    count = torch.bincount(owner, minlength=len(image_emb))  # (N,)
    if bool((count == 0).any()):
        raise ValueError(f"image {int(count.argmin())} of the batch owns no caption")
    logits = logit_scale * text_emb @ image_emb.T  # (M, N)
    text_to_image = functional.cross_entropy(logits, owner)
    log_share = functional.log_softmax(logits, dim=0)  # (M, N), over captions
    own = log_share.gather(1, owner.unsqueeze(1)).squeeze(1)  # (M,)
    image_to_text = -(own / count[owner]).sum() / len(image_emb)
    return (text_to_image + image_to_text) / 2
