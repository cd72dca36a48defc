"""Target scores and target layers of an explanation, and the grid of a vision transformer.

A map is best at the deepest layer that still has one (Selvaraju et al. 2017, section 3). In timm's
EfficientNets that is `bn2`: `conv_head` normalised and clipped by its ReLU6, which the global
pooling averages, so that for a linear head the map adds up to the score. In vision transformers it
is the first norm of the last block: an encoder that uses its class token ignores the patches that
the last block itself gives, and their gradient is zero.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from sports_clip_pipeline.errors import UserFacingError

AUTO = "auto"
# The last map before pooling, by the name that timm's families give it: EfficientNet and
# MobileNet-like, ResNet, ConvNeXt, RegNet and VGG-like.
_LAST_MAPS = ("bn2", "layer4", "stages", "final_conv", "features")
Target = int | tuple[int, int]
"""A score, or the difference of two: what supports the first against the second."""


def unexplainable(image: str, what: str) -> UserFacingError:
    """The error of an image that cannot be explained."""
    remedy = "check the model's weights and cam.layer, or leave the image out"
    return UserFacingError(f"explanation of {image}", what, remedy)


def pick_score(
    scores: torch.Tensor, target: Target, image: str, needs_gradient: bool = True
) -> torch.Tensor:
    """One score of a (C,) vector, or a difference of two, checked that it can be explained.

    Raises: ValueError: no such score. UserFacingError: not finite, or no layer reaches it.
    """
    wanted = (target,) if isinstance(target, int) else target
    for index in wanted:
        if not 0 <= index < len(scores):
            raise ValueError(f"target {index} is outside the module's {len(scores)} scores")
        if not torch.isfinite(scores[index]):
            raise unexplainable(image, f"score {index} is {scores[index].item()}")
    score = scores[wanted[0]] if len(wanted) == 1 else scores[wanted[0]] - scores[wanted[1]]
    if needs_gradient and not score.requires_grad:
        raise unexplainable(image, f"no gradient of score {target} reaches the chosen layer")
    return score


@contextmanager
def frozen(module: nn.Module) -> Iterator[nn.Module]:
    """Evaluation mode, no gradients for weights, autograd on; all restored on exit.

    Batch statistics stay fixed, and a backward pass leaves nothing in the weights' `.grad`.
    """
    training = {part: part.training for part in module.modules()}
    learnable = {weight: weight.requires_grad for weight in module.parameters()}
    try:
        module.eval()
        module.requires_grad_(False)
        with torch.enable_grad():
            yield module
    finally:
        for part, mode in training.items():
            part.training = mode
        for weight, wanted in learnable.items():
            weight.requires_grad_(wanted)


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
        """(B, T, K) tokens to (B, K, h, w), without the prefix.

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


def find_layer(encoder: nn.Module, name: str = AUTO) -> nn.Module:
    """The target layer: the part of `encoder` with a dotted name, or for `auto` the last map.

    Raises: UserFacingError: no such part; or `auto` and no known family.
    """
    parts = dict(encoder.named_modules())
    wanted: str | None = name
    if name == AUTO:
        first_norm = _last_first_norm(encoder)
        if first_norm is not None:
            return first_norm
        wanted = next((last for last in _LAST_MAPS if last in parts), None)
    if not wanted or wanted not in parts:
        children = ", ".join(child for child, _ in encoder.named_children()) or "nothing"
        raise UserFacingError(
            f"parameter cam.layer = {name}",
            f"the encoder {type(encoder).__name__} has no such layer (at its top: {children})",
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


def _last_first_norm(encoder: nn.Module) -> nn.Module | None:
    """The first norm of the last block of a vision transformer; None elsewhere."""
    part: Any = next((part for part in encoder.modules() if _own_grid(part) is not None), None)
    blocks = getattr(part, "blocks", None)
    if blocks is None:
        blocks = getattr(getattr(part, "transformer", None), "resblocks", None)
    last = blocks[-1] if blocks is not None else None
    norm: nn.Module | None = getattr(last, "norm1", None) or getattr(last, "ln_1", None)
    return norm
