"""Contrastive losses with several captions per image: InfoNCE, SigLIP, soft targets.

All take unit-norm `image_emb` (N, D), each image of the batch once, unit-norm `text_emb` (M, D),
`image_index` (M,) int64 in [0, N), the image of each caption, and the exponentiated `logit_scale`
(); they return (). They raise ValueError if image_index is not (M,).
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch.nn import functional

MAX_LOGIT_SCALE = math.log(100.0)
"""Largest logarithm of the logit scale, as CLIP clamps it."""


def multi_positive_info_nce(
    image_emb: torch.Tensor,
    text_emb: torch.Tensor,
    image_index: torch.Tensor,
    logit_scale: torch.Tensor,
) -> torch.Tensor:
    """InfoNCE with several positive captions per image, mean of both directions.

    The target of a caption is its image; the target of an image is uniform over its captions, so
    that none of them is a negative as in plain InfoNCE. With one caption per image this is
    open_clip's `ClipLoss`.

    Raises: ValueError: an image has no caption.
    Source: Khosla et al. 2020, equation 2; Yang et al. 2022 (UniCL), equation 3.
    """
    _check(image_index, text_emb)
    count = torch.bincount(image_index, minlength=len(image_emb))  # (N,)
    if bool((count == 0).any()):
        raise ValueError(f"image {int(count.argmin())} of the batch has no caption")
    logits = logit_scale * text_emb @ image_emb.T  # (M, N)
    text_to_image = functional.cross_entropy(logits, image_index)
    log_probs = functional.log_softmax(logits, dim=0)  # (M, N), over captions
    own = log_probs.gather(1, image_index.unsqueeze(1)).squeeze(1)  # (M,)
    image_to_text = -(own / count[image_index]).sum() / len(image_emb)
    return (text_to_image + image_to_text) / 2


def multi_positive_siglip(
    image_emb: torch.Tensor,
    text_emb: torch.Tensor,
    image_index: torch.Tensor,
    logit_scale: torch.Tensor,
    logit_bias: torch.Tensor,
) -> torch.Tensor:
    """Sigmoid loss (SigLIP) over all image-caption pairs, divided by the number of captions.

    All captions of an image are positives; `logit_bias` () is added to the scaled cosines. With
    one caption per image this is open_clip's `SigLipLoss`.

    Source: Zhai et al. 2023, algorithm 1.
    """
    _check(image_index, text_emb)
    logits = logit_scale * text_emb @ image_emb.T + logit_bias  # (M, N)
    sign = -torch.ones_like(logits)
    sign.scatter_(1, image_index.unsqueeze(1), 1.0)
    return -functional.logsigmoid(sign * logits).sum() / len(text_emb)


def soft_target_loss(
    image_emb: torch.Tensor,
    text_emb: torch.Tensor,
    image_index: torch.Tensor,
    logit_scale: torch.Tensor,
) -> torch.Tensor:
    """Soft-target loss of the 2022 notebook, mean over caption-image pairs of both directions.

    The target of a pair is the softmax of the mean image and text similarity to every other pair;
    gradients flow through the targets, as in the notebook. Its embeddings are not normalised and
    its temperature is 1; here the scale stands for their squared norm.

    Source: Shariatnia 2021 (Simple CLIP), `CLIPModel.forward`, which the notebook follows.
    """
    _check(image_index, text_emb)
    paired = image_emb[image_index]  # (M, D)
    logits = logit_scale * text_emb @ paired.T  # (M, M), a caption a row
    similarity = (paired @ paired.T + text_emb @ text_emb.T) / 2
    target = functional.softmax(logit_scale * similarity, dim=1)
    text_loss = _cross_entropy(logits, target)
    image_loss = _cross_entropy(logits.T, target.T)
    return (text_loss + image_loss) / 2


def _check(image_index: torch.Tensor, text_emb: torch.Tensor) -> None:
    if image_index.shape != text_emb.shape[:1]:
        raise ValueError(
            f"image_index has shape {tuple(image_index.shape)} for {len(text_emb)} captions"
        )


def _cross_entropy(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return -(target * functional.log_softmax(logits, dim=1)).sum(dim=1).mean()


class Objective(NamedTuple):
    """A contrastive loss, and whether it has a learned logit bias as its last argument."""

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
        """Initial logit bias: the prior log odds of a pair, 1 to N − 1; None without a bias.

        Raises: ValueError: fewer than two images.
        Source: Zhai et al. 2023, section 3.2 (there −10, for batches of 22,000).
        """
        if not self.biased:
            return None
        if images < 2:
            raise ValueError(f"a batch holds at least 2 images, got {images}")
        return -math.log(images - 1)


OBJECTIVES = {
    "info_nce": Objective(multi_positive_info_nce),
    "siglip": Objective(multi_positive_siglip, biased=True),
    "soft_targets": Objective(soft_target_loss),
}
