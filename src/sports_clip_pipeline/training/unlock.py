"""Unlocked encoders: which blocks of a CLIP model learn, and embeddings through them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from sports_clip_pipeline.clip.model import (
    ends,
    image_blocks,
    image_encoder,
    project_images,
    project_texts,
    text_blocks,
    text_encoder,
)
from sports_clip_pipeline.data.captions import pad
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.training.image_text_pairs import PairedImages
from sports_clip_pipeline.training.precision import Compute

ALL = -1


@dataclass(frozen=True)
class Unlocked:
    """Whether any of the image encoder and of the text encoder learns."""

    image: bool
    text: bool


def unlock(model: Any, image_count: int, text_count: int, biased: bool = False) -> Unlocked:
    """Freeze a CLIP model but for its projections, its scale and its encoders' last blocks.

    Blocks of the image encoder are timm's stages, as in open_clip's `--lock-image-unlocked-groups`
    but by stage; the layers after the last stage (EfficientNet's last convolution) belong to it.
    Blocks of the text encoder are its transformer's layers; its embeddings only learn with -1.

    Args:
        model: open_clip's `CustomTextCLIP`.
        image_count, text_count: blocks from the end; 0 for none, -1 for the whole encoder.
        biased: whether the loss wants the model's bias, which learns then.
    Raises: UserFacingError: an encoder has fewer blocks.
    """
    model.requires_grad_(False)
    image, text = (list(part(model).parameters()) for part in (image_encoder, text_encoder))
    learned = [
        *_last(image_blocks(model), image, image_count, "pretrain.unlocked_image_blocks"),
        *_last(text_blocks(model), text, text_count, "pretrain.unlocked_text_blocks"),
        *ends(model, image_count != 0, text_count != 0, biased),
    ]
    for parameter in learned:
        parameter.requires_grad_(True)
    return Unlocked(image_count != 0, text_count != 0)


class PairEncoder(nn.Module):
    """open_clip's model as one module from rows of a split to embeddings, as DDP wants it.

    An encoder that stays frozen is not run: its features are read.

    Args:
        model: open_clip's `CustomTextCLIP`, on the device of `compute`.
        unlocked: which of its encoders are run.
    """

    def __init__(self, model: Any, unlocked: Unlocked, compute: Compute) -> None:
        super().__init__()
        self.model, self.unlocked, self.compute = model, unlocked, compute
        # open_clip's own pairs have rows of one length, and no configuration.
        self.padding = int(getattr(getattr(model.text, "config", None), "pad_token_id", 0) or 0)

    def forward(
        self, pairs: PairedImages, images: np.ndarray, texts: np.ndarray, pixels: Any
    ) -> tuple[torch.Tensor, ...]:
        """Embeddings of images and captions, the scale, and the bias where there is one."""
        return (self.images(pairs, images, pixels), self.texts(pairs, texts), *self.scale())

    def images(self, pairs: PairedImages, rows: np.ndarray, pixels: Any) -> torch.Tensor:
        """Images (B,) of a split to (B, P) float32 unit-norm.

        Args:
            pixels: (B, 3, H, W) on the device; None where the image encoder is frozen.
        """
        with self.compute.autocast():
            if self.unlocked.image:
                projected = self.model.visual(pixels)
            else:
                features = self._on_device(pairs.features.image[rows])
                projected = project_images(self.model, features)
        return functional.normalize(projected.float(), dim=1)

    def texts(self, pairs: PairedImages, rows: np.ndarray) -> torch.Tensor:
        """Captions (B,) of a split to (B, P) float32 unit-norm."""
        with self.compute.autocast():
            if self.unlocked.text:
                ids, _ = pad([pairs.token_ids[row] for row in rows], self.padding)
                projected = self.model.text(self._on_device(ids))
            else:
                features = self._on_device(pairs.features.text[rows])
                projected = project_texts(self.model, features)
        return functional.normalize(projected.float(), dim=1)

    def scale(self) -> tuple[torch.Tensor, ...]:
        """The scale of cosines, and the bias where there is one."""
        bias = self.model.logit_bias
        return (self.model.logit_scale.exp(), *([] if bias is None else [bias]))

    def _on_device(self, values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(values).to(self.compute.device)


def _last(
    blocks: Sequence[list[nn.Parameter]], whole: list[nn.Parameter], count: int, parameter: str
) -> list[nn.Parameter]:
    if count == ALL:
        return whole
    if count > len(blocks):
        raise UserFacingError(
            f"parameter {parameter}",
            f"the encoder has {len(blocks)} blocks, got {count}",
            f"use a number up to {len(blocks)}, or -1 for the whole encoder",
        )
    return [member for block in blocks[len(blocks) - count :] for member in block]
