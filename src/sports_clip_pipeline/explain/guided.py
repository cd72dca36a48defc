"""Guided backpropagation, for networks of ReLU and of ReLU6.

pytorch-grad-cam swaps `nn.ReLU` alone, so that on the Lite towers, whose activations are ReLU6, its
result is the plain gradient. Here ReLU6 is swapped as well, and every activation is put back.

It draws edges whatever the network has learned: with random weights its pictures stay much the
same (Adebayo et al. 2018, Sanity Checks for Saliency Maps). It is shown with that note.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from pytorch_grad_cam.guided_backprop import GuidedBackpropReLUasModule
from torch import nn

from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.explain.frozen import frozen
from sports_clip_pipeline.explain.library_maps import unexplainable
from sports_clip_pipeline.explain.scores import Target, pick_score


class _GuidedReLU6Function(torch.autograd.Function):
    """min(max(x, 0), 6) forward; backward, positive gradients where 0 < x < 6."""

    @staticmethod
    def forward(ctx: Any, values: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward((values > 0) & (values < 6))
        return values.clamp(0, 6)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
        (passed,) = ctx.saved_tensors
        return gradients[0].clamp(min=0) * passed


class GuidedReLU6(nn.Module):
    """ReLU6 whose backward pass lets only positive gradients through."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Same shape, in [0, 6]."""
        return _GuidedReLU6Function.apply(values)


@contextmanager
def guided_activations(module: nn.Module) -> Iterator[int]:
    """Every ReLU and ReLU6 below `module` guided; the very same objects put back afterwards.

    Yields: how many were swapped.
    """
    swapped: list[tuple[nn.Module, str, nn.Module]] = []
    try:
        for parent in list(module.modules()):
            for name, child in parent._modules.items():
                if isinstance(child, nn.ReLU6):
                    guided: nn.Module = GuidedReLU6()
                elif isinstance(child, nn.ReLU):
                    guided = GuidedBackpropReLUasModule()
                else:
                    continue
                swapped.append((parent, name, child))
                parent._modules[name] = guided
        yield len(swapped)
    finally:
        for parent, name, child in swapped:
            parent._modules[name] = child


def guided_gradients(
    module: nn.Module, pixels: torch.Tensor, target: Target, *, image: str, strict: bool = True
) -> np.ndarray:
    """Gradient of one score by the pixels, through activations that pass positive parts only.

    Args:
        module: pixels (1, 3, H, W) to scores (1, C).
        pixels: (1, 3, H, W) float32, preprocessed.
        target: 0 <= target < C; a pair (a, b) is score a less score b.
        image: its name, for error messages.
        strict: whether a zero gradient is an error.
    Returns: (H, W, 3) float32, signed, in score per unit of preprocessed pixel.

    Raises:
        UserFacingError: the network has no ReLU or ReLU6 to guide; the gradient is zero or not
            finite.
        ValueError: `target` is no score of the module, or `pixels` is not one image.
    Source: Springenberg et al. 2015, Striving for Simplicity, section 3.4.
    """
    if pixels.ndim != 4 or pixels.shape[0] != 1:
        raise ValueError(f"pixels are (1, 3, H, W), one image, got {tuple(pixels.shape)}")
    with frozen(module), guided_activations(module) as count:
        if not count:
            raise UserFacingError(
                "guided backpropagation",
                f"{type(module).__name__} has no ReLU or ReLU6 to guide",
                "set cam.guided to false for this tower, and leave guided out of cam_eval.methods",
            )
        device = next((weight.device for weight in module.parameters()), pixels.device)
        leaf = pixels.detach().to(device, copy=True).requires_grad_()
        score = pick_score(module(leaf)[0], target, image)
        (gradient,) = torch.autograd.grad(score, leaf)  # (1, 3, H, W)
    values = gradient[0].cpu().numpy().transpose(1, 2, 0)  # (H, W, 3)
    if not np.isfinite(values).all():
        raise unexplainable(image, "the guided gradient is not finite")
    if strict and not values.any():
        raise unexplainable(image, "the guided gradient is zero everywhere")
    return np.ascontiguousarray(values, dtype=np.float32)
