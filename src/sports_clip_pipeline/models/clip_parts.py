"""The parts of open_clip's two-tower model, whatever its towers are."""

from __future__ import annotations

from typing import Any

import torch
from timm.models import group_parameters
from torch import nn

Block = list[nn.Parameter]


def image_encoder(model: Any) -> nn.Module:
    """The image tower without a projection of ours."""
    tower: nn.Module = getattr(model.visual, "trunk", model.visual)
    return tower


def text_encoder(model: Any) -> nn.Module:
    """The text tower without a projection of ours."""
    tower: nn.Module = model.text.transformer if _projects(model) else model.text
    return tower


def project_images(model: Any, features: torch.Tensor) -> torch.Tensor:
    """Pooled image features (B, D) to the shared space (B, P), before unit norm."""
    projected: torch.Tensor = model.visual.head(features) if _projects(model) else features
    return projected


def project_texts(model: Any, features: torch.Tensor) -> torch.Tensor:
    """Pooled text features (B, E) to the shared space (B, P), before unit norm."""
    projected: torch.Tensor = model.text.proj(features) if _projects(model) else features
    return projected


def ends(model: Any, image: bool, text: bool, biased: bool) -> Block:
    """What learns wherever something does: projections, the scale, the bias of a biased loss.

    A pair of open_clip's own has its projections inside its towers; those of a locked one stay.

    Args:
        image, text: whether any of that tower learns.
    """
    if _projects(model):
        parts = [model.visual.head, model.text.proj]
    else:
        seeing, reading = ("head" if hasattr(model.visual, "trunk") else "proj"), "text_projection"
        parts = [getattr(model.visual, seeing, None)] if image else []
        parts += [getattr(model.text, reading, None)] if text else []
    own = [p for part in parts if part is not None for p in _parameters(part)]
    return [*own, model.logit_scale, *([model.logit_bias] if biased else [])]


def image_blocks(model: Any) -> list[Block]:
    """The parameters of each block of the image tower, the stem first.

    Blocks are timm's stages, the residual blocks of a vision transformer, or the stages of CLIP's
    ResNet; what follows the last block belongs to it.
    """
    tower: Any = image_encoder(model)
    if hasattr(tower, "group_matcher"):
        return timm_stages(tower)
    if hasattr(tower, "transformer"):
        return _split(tower, tower.transformer.resblocks)
    return _split(tower, [tower.layer1, tower.layer2, tower.layer3, tower.layer4])


def text_blocks(model: Any) -> list[Block]:
    """The parameters of each layer of the text tower; its embeddings are none of them."""
    if _projects(model):
        return [list(layer.parameters()) for layer in transformer_layers(model.text.transformer)]
    return _split(model.text, model.text.transformer.resblocks)[1:]


def timm_stages(trunk: Any) -> list[Block]:
    """The parameters of each stage of a timm model, the stem first."""
    groups = group_parameters(trunk, trunk.group_matcher(coarse=True), return_values=False)
    return [[trunk.get_parameter(name) for name in groups[number]] for number in sorted(groups)]


def transformer_layers(transformer: Any) -> list[nn.Module]:
    """The layers of a Hugging Face transformer, the first one first."""
    inner = getattr(transformer, "encoder", None) or transformer.transformer  # DistilBERT's name
    return list(inner.layer)


def _projects(model: Any) -> bool:
    """Whether projections of ours stand on the towers."""
    return hasattr(model.text, "proj")


def _split(tower: nn.Module, blocks: Any) -> list[Block]:
    """The tower's parameters: before its blocks, of each, and with the last one those after it."""
    inside = [list(block.parameters()) for block in blocks]
    known = {id(parameter) for block in inside for parameter in block}
    before, after, passed = [], [], False
    for parameter in tower.parameters():
        if id(parameter) in known:
            passed = True
        elif passed:
            after.append(parameter)
        else:
            before.append(parameter)
    return [before, *inside[:-1], [*inside[-1], *after]]


def _parameters(part: Any) -> Block:
    return [part] if isinstance(part, nn.Parameter) else list(part.parameters())
