"""Unlocked encoders (LiT): which blocks of a CLIP model are trained, and their training mode."""

from collections.abc import Sequence
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from sports_clip_pipeline.clip import model as clip
from sports_clip_pipeline.errors import UserFacingError

ALL = -1


def unlock(model: Any, image_count: int, text_count: int, biased: bool = False) -> None:
    """Freeze a CLIP model except for its projections, logit scale and last encoder blocks.

    Blocks of the image encoder are timm's stages, as in open_clip's `--lock-image-unlocked-groups`
    but by stage; layers after the last stage (EfficientNet's last convolution) belong to it.
    Blocks of the text encoder are its transformer layers; its embeddings are trained with -1 only.

    Args:
        model: open_clip's `CustomTextCLIP`. biased: whether the logit bias is trained.
        image_count, text_count: blocks from the end; 0 for none, -1 for the whole encoder.
    Raises: UserFacingError: an encoder has fewer blocks.
    """
    model.requires_grad_(False)
    image, text = clip.image_encoder(model), clip.text_encoder(model)
    trainable = [
        *_last(clip.image_blocks(model), image, image_count, "pretrain.unlocked_image_blocks"),
        *_last(clip.text_blocks(model), text, text_count, "pretrain.unlocked_text_blocks"),
        *clip.projection_parameters(model, image_count != 0, text_count != 0, biased),
    ]
    for parameter in trainable:
        parameter.requires_grad_(True)


def _last(
    blocks: Sequence[list[nn.Parameter]], encoder: nn.Module, count: int, parameter: str
) -> list[nn.Parameter]:
    if count == ALL:
        return list(encoder.parameters())
    if count > len(blocks):
        raise UserFacingError(
            f"parameter {parameter}",
            f"the encoder has {len(blocks)} blocks, got {count}",
            f"use a number up to {len(blocks)}, or -1 for the whole encoder",
        )
    return [member for block in blocks[len(blocks) - count :] for member in block]


def set_train_mode(
    module: nn.Module, dropout: bool = True, freeze_batch_norm: bool = False
) -> None:
    """Training mode for modules whose parameters are all trainable, eval mode for the rest.

    Args:
        dropout: whether trainable modules use dropout.
        freeze_batch_norm: trainable batch norms keep their running statistics, as frozen ones do.
    """
    module.training = False
    parameters = list(module.parameters())
    if parameters and all(parameter.requires_grad for parameter in parameters):
        module.train(dropout)  # attention has dropout without a layer of its own
        for part in module.modules():
            if isinstance(part, _BatchNorm):
                part.train(not freeze_batch_norm)
        return
    for child in module.children():
        set_train_mode(child, dropout, freeze_batch_norm)


def changing_entries(model: nn.Module) -> tuple[str, ...]:
    """Names of the state dict that training changes, for a model in training mode.

    These are trainable parameters and running statistics of batch norms in training mode.
    """
    changing = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    for prefix, module in model.named_modules():
        if module.training and isinstance(module, _BatchNorm):
            buffers = module.named_buffers(prefix, recurse=False)
            changing |= {name for name, _ in buffers}
    return tuple(name for name in model.state_dict() if name in changing)
