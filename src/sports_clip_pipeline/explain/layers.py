"""Finding the layer whose feature maps are weighed, and how its output lies over the image.

A map is best at the deepest layer that still has one (Selvaraju et al. 2017, section 3). In timm's
EfficientNets that is `bn2`, which is `conv_head` normalised and clipped by its ReLU6: it is what
the global pooling averages, so that for a linear head the map adds up to the score. `conv_head`
itself still holds the negative values that the network never passes on.

In vision transformers it is the first norm of the last block. What the last block itself gives of
the patches is not looked at by a tower that answers with its class token: its gradient is zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from sports_clip_pipeline.errors import UserFacingError

AUTO = "auto"
# The last map before pooling, by the name that timm's families give it: EfficientNet and
# MobileNet-like, ResNet, ConvNeXt, RegNet and VGG-like.
_LAST_MAPS = ("bn2", "layer4", "stages", "final_conv", "features")


@dataclass(frozen=True)
class TokenGrid:
    """How the tokens of a vision transformer lie over the image.

    Attributes:
        height, width: of the grid of patches.
        prefix: tokens before the patches, such as the class token and registers.
    """

    height: int
    width: int
    prefix: int

    def as_map(self, tokens: torch.Tensor) -> torch.Tensor:
        """(B, T, K) tokens to (B, K, h, w), the prefix left out.

        Raises: ValueError: T is not h·w + prefix.
        """
        batch, count, width = tokens.shape
        if count != self.height * self.width + self.prefix:
            raise ValueError(
                f"{count} tokens are not {self.height} × {self.width} patches and {self.prefix}"
            )
        patches = tokens[:, self.prefix :].transpose(1, 2)  # (B, K, h·w)
        return patches.reshape(batch, width, self.height, self.width)


def token_grid(module: nn.Module, layer: nn.Module) -> TokenGrid | None:
    """The grid of the transformer within `module` that `layer` is part of; None where none is.

    Read from the model: `patch_embed.grid_size` and `num_prefix_tokens` of timm's, `grid_size` and
    the class token of open_clip's own.
    """
    for part in module.modules():
        grid = _own_grid(part)
        if grid is not None and any(inner is layer for inner in part.modules()):
            return grid
    return None


def find_layer(tower: nn.Module, name: str = AUTO) -> nn.Module:
    """The part of `tower` that bears a dotted name, or for `auto` the deepest one with a map.

    Raises: UserFacingError: no such part; or `auto` and no known family.
    """
    parts = dict(tower.named_modules())
    if name == AUTO:
        first_norm = _last_first_norm(tower)
        if first_norm is not None:
            return first_norm
    wanted = next((last for last in _LAST_MAPS if last in parts), None) if name == AUTO else name
    if wanted is None or wanted == "" or wanted not in parts:
        children = ", ".join(child for child, _ in tower.named_children()) or "nothing"
        raise UserFacingError(
            f"parameter cam.layer = {name}",
            f"the tower {type(tower).__name__} has no such layer (at its top it has {children})",
            "name one of its convolutional layers, such as blocks.6, or of a transformer's norms",
        )
    return parts[wanted]


def _own_grid(part: Any) -> TokenGrid | None:
    patches = getattr(getattr(part, "patch_embed", None), "grid_size", None)
    if patches is not None and hasattr(part, "num_prefix_tokens"):
        return TokenGrid(int(patches[0]), int(patches[1]), int(part.num_prefix_tokens))
    if hasattr(part, "class_embedding") and hasattr(part, "grid_size"):
        return TokenGrid(int(part.grid_size[0]), int(part.grid_size[1]), 1)
    return None


def _last_first_norm(tower: nn.Module) -> nn.Module | None:
    """The norm that the last block of a vision transformer begins with; None elsewhere."""
    for part in tower.modules():
        if _own_grid(part) is None:
            continue
        blocks: Any = getattr(part, "blocks", None)
        if blocks is None:
            blocks = getattr(getattr(part, "transformer", None), "resblocks", None)
        last = blocks[-1] if blocks is not None else None
        norm: nn.Module | None = getattr(last, "norm1", None) or getattr(last, "ln_1", None)
        return norm
    return None
