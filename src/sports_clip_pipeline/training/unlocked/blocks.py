"""Which parts of a CLIP model learn: the projections, and the last blocks of either tower."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.models.clip_parts import (
    ends,
    image_blocks,
    image_encoder,
    text_blocks,
    text_encoder,
)

ALL = -1


@dataclass(frozen=True)
class Unlocked:
    """What learns in a model.

    Attributes:
        image, text: whether any of that tower does.
        names: entries of the model's state dict that training changes: parameters that learn, and
            the statistics of the norms between them.
    """

    image: bool
    text: bool
    names: tuple[str, ...]


def unlock(
    model: Any, of_image: int, of_text: int, freeze_batch_norm: bool = False, biased: bool = False
) -> Unlocked:
    """Lock a model but for its projections, its scale and the last blocks of its towers.

    Blocks of the image tower are timm's stages, as in open_clip's `--lock-image-unlocked-groups`
    but by stage; the layers after the last stage (EfficientNet's last convolution) belong to it.
    Blocks of the text tower are its transformer's layers; its embeddings only learn with -1.

    Args:
        model: open_clip's `CustomTextCLIP`.
        of_image, of_text: how many blocks from the end; 0 for none, -1 for the whole tower.
        freeze_batch_norm: see `set_modes`.
        biased: whether the loss wants the model's bias, which learns then.
    Raises: UserFacingError: a tower has fewer blocks.
    """
    model.requires_grad_(False)
    image, text = (list(part(model).parameters()) for part in (image_encoder, text_encoder))
    wanted = [
        *_last(image_blocks(model), image, of_image, "pretrain.unlocked_image_blocks"),
        *_last(text_blocks(model), text, of_text, "pretrain.unlocked_text_blocks"),
        *ends(model, of_image != 0, of_text != 0, biased),
    ]
    for parameter in wanted:
        parameter.requires_grad_(True)
    return Unlocked(of_image != 0, of_text != 0, _changing(model, freeze_batch_norm))


def compile_unlocked(model: Any, unlocked: Unlocked) -> None:
    """Kernels of what runs through pixels and tokens; names and weights stay as they are."""
    for tower, runs in ((model.visual, unlocked.image), (model.text, unlocked.text)):
        if runs:
            tower.compile()


def set_modes(module: nn.Module, dropout: bool = True, freeze_batch_norm: bool = False) -> None:
    """Training mode where all parameters learn, evaluation mode elsewhere.

    A locked batch norm keeps its statistics, and no dropout disturbs a locked layer.

    Args:
        dropout: false leaves it off where parameters learn, too.
        freeze_batch_norm: batch norms keep their running statistics where their parameters learn.
    """
    module.training = False
    parameters = list(module.parameters())
    if parameters and all(parameter.requires_grad for parameter in parameters):
        module.train(dropout)  # attention draws by its own mode, without a layer of dropout
        for part in module.modules():
            if isinstance(part, nn.modules.batchnorm._BatchNorm):
                part.train(not freeze_batch_norm)
        return
    for child in module.children():
        set_modes(child, dropout, freeze_batch_norm)


def decay_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """AdamW's groups of what learns: matrices and kernels decay, vectors and the scale do not."""
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [
        {"params": [p for p in learning if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in learning if p.ndim <= 1], "weight_decay": 0.0},
    ]


def changed_state(model: nn.Module, names: Sequence[str]) -> dict[str, torch.Tensor]:
    """Those entries of the state dict, on the CPU, contiguous, of their own memory."""
    state = model.state_dict()
    return {name: state[name].detach().cpu().contiguous().clone() for name in names}


def _last(
    blocks: Sequence[list[nn.Parameter]], whole: list[nn.Parameter], count: int, parameter: str
) -> list[nn.Parameter]:
    if count == ALL:
        return whole
    if count > len(blocks):
        raise UserFacingError(
            f"parameter {parameter}",
            f"the tower has {len(blocks)} blocks, got {count}",
            f"use a number up to {len(blocks)}, or -1 for the whole tower",
        )
    return [member for block in blocks[len(blocks) - count :] for member in block]


def _changing(model: nn.Module, freeze_batch_norm: bool) -> tuple[str, ...]:
    set_modes(model, freeze_batch_norm=freeze_batch_norm)
    learning = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    moving = {
        f"{place}.{name}"
        for place, module in model.named_modules()
        if module.training and isinstance(module, nn.modules.batchnorm._BatchNorm)
        for name, _ in module.named_buffers(recurse=False)
    }
    return tuple(name for name in model.state_dict() if name in learning | moving)
