"""Contrastive losses with several captions per image: InfoNCE, SigLIP, soft targets."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional


def _check(image_index: torch.Tensor, text_emb: torch.Tensor) -> None:
    """Every caption has one image. Raises: ValueError: image_index is not (M,) for M captions."""
    if image_index.shape != text_emb.shape[:1]:
        raise ValueError(
            f"image_index has shape {tuple(image_index.shape)} for {len(text_emb)} captions"
        )


def multi_positive_info_nce(
    image_emb: torch.Tensor,
    text_emb: torch.Tensor,
    image_index: torch.Tensor,
    logit_scale: torch.Tensor,
) -> torch.Tensor:
    """InfoNCE with several positive captions per image.

    Captions look for their one image; images spread their target evenly over their captions, so
    that no caption of an image is pushed away from it, as plain InfoNCE does on Flickr8k.

    Args:
        image_emb: (N, D) unit-norm; each image of the batch once.
        text_emb: (M, D) unit-norm; M >= N captions.
        image_index: (M,) int64 in [0, N); the image that caption m describes; every image has one.
        logit_scale: (), already exponentiated.
    Returns: the mean of both directions, (). Where every image has one caption this is
        open_clip's `ClipLoss`.
    Raises: ValueError: image_index is not (M,), or an image has no caption.
    Source: Khosla et al. 2020, equation 2; Yang et al. 2022 (UniCL), equation 3.
    """
    _check(image_index, text_emb)
    count = torch.bincount(image_index, minlength=len(image_emb))  # (N,)
    if bool((count == 0).any()):
        raise ValueError(f"image {int(count.argmin())} of the batch has no caption")
    logits = logit_scale * text_emb @ image_emb.T  # (M, N)
    text_to_image = functional.cross_entropy(logits, image_index)
    log_share = functional.log_softmax(logits, dim=0)  # (M, N), over captions
    own = log_share.gather(1, image_index.unsqueeze(1)).squeeze(1)  # (M,)
    image_to_text = -(own / count[image_index]).sum() / len(image_emb)
    return (text_to_image + image_to_text) / 2


def multi_positive_siglip(
    image_emb: torch.Tensor,
    text_emb: torch.Tensor,
    image_index: torch.Tensor,
    logit_scale: torch.Tensor,
    logit_bias: torch.Tensor,
) -> torch.Tensor:
    """Sigmoid loss (SigLIP) over all image-caption pairs; all captions of an image are positives.

    Args:
        image_emb: (N, D) unit-norm; each image of the batch once.
        text_emb: (M, D) unit-norm captions.
        image_index: (M,) int64 in [0, N); the image that caption m describes.
        logit_scale: (), already exponentiated. logit_bias: (), added to the scaled cosines.
    Returns: the sum over all pairs by captions, (). Where every image has one caption this is
        open_clip's `SigLipLoss`.
    Raises: ValueError: image_index is not (M,).
    Source: Zhai et al. 2023, algorithm 1.
    """
    _check(image_index, text_emb)
    logits = logit_scale * text_emb @ image_emb.T + logit_bias  # (M, N)
    sign = -torch.ones_like(logits)
    sign.scatter_(1, image_index.unsqueeze(1), 1.0)
    return -functional.logsigmoid(sign * logits).sum() / len(text_emb)


def starting_bias(images: int) -> float:
    """Initial logit bias of the sigmoid loss for a batch of so many images.

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


def soft_target_loss(
    image_emb: torch.Tensor,
    text_emb: torch.Tensor,
    image_index: torch.Tensor,
    logit_scale: torch.Tensor,
) -> torch.Tensor:
    """Soft-target contrastive loss of the 2022 notebook: targets from within-batch similarities.

    Every caption stands with its image as one pair. The target of a pair is the softmax of the mean
    of both similarities to every other pair; two captions of one image so share their target.
    Gradients flow through the targets too, as in the notebook. There embeddings have a length of
    their own and the temperature is 1; here they are unit-norm, and the scale is that length
    squared.

    Args:
        image_emb: (N, D) unit-norm. text_emb: (M, D) unit-norm.
        image_index: (M,) int64 in [0, N); the image that caption m describes.
        logit_scale: (), already exponentiated.
    Returns: the mean over pairs of both directions, ().
    Raises: ValueError: image_index is not (M,).
    Source: Shariatnia 2021 (Simple CLIP), `CLIPModel.forward`, which the notebook follows.
    """
    _check(image_index, text_emb)
    paired = image_emb[image_index]  # (M, D)
    logits = logit_scale * text_emb @ paired.T  # (M, M), a caption a row
    alike = (paired @ paired.T + text_emb @ text_emb.T) / 2
    target = functional.softmax(logit_scale * alike, dim=1)
    of_texts = _cross_entropy(logits, target)
    of_images = _cross_entropy(logits.T, target.T)
    return (of_texts + of_images) / 2


def _cross_entropy(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return -(target * functional.log_softmax(logits, dim=1)).sum(dim=1).mean()


@dataclass(frozen=True)
class Objective:
    """A contrastive loss by name.

    Attributes:
        function: of image_emb (N, D) and text_emb (M, D), both unit-norm, image_index (M,) int64,
            logit_scale () and, if biased, logit_bias (); returns ().
        biased: whether it takes a bias, which is learned.
    """

    function: Callable[..., torch.Tensor]
    biased: bool = False

    def loss(
        self,
        image_emb: torch.Tensor,
        text_emb: torch.Tensor,
        image_index: torch.Tensor,
        logit_scale: torch.Tensor,
        logit_bias: torch.Tensor | None,
    ) -> torch.Tensor:
        """The loss, ()."""
        bias = (logit_bias,) if self.biased else ()
        return self.function(image_emb, text_emb, image_index, logit_scale, *bias)

    def starting_bias(self, images: int) -> float | None:
        """Initial bias for batches of so many images; None without a bias."""
        return starting_bias(images) if self.biased else None


OBJECTIVES = {
    "info_nce": Objective(multi_positive_info_nce),
    "siglip": Objective(multi_positive_siglip, biased=True),
    "soft_targets": Objective(soft_target_loss),
}


def find_objective(name: str) -> Objective:
    """The loss of that name. Raises: ValueError: there is none."""
    if name not in OBJECTIVES:
        raise ValueError(f"pretrain.loss is one of {', '.join(OBJECTIVES)}, got {name!r}")
    return OBJECTIVES[name]
