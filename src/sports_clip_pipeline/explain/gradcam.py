"""Class activation maps, by pytorch-grad-cam's GradCAM with its loose ends tied.

The library's own context manager swallows an IndexError, keeps graphs alive from image to image
and draws a blank where there is no gradient. Here everything is released, and what cannot be
explained is an error that names the image.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from pytorch_grad_cam import GradCAM
from torch import nn

from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.explain.frozen import frozen


def class_activation_map(
    module: nn.Module, layer: nn.Module, pixels: torch.Tensor, target: int, *, image: str
) -> np.ndarray:
    """How much each place of one image speaks for one score.

    The channels of the layer's output are added up, each with the mean of the score's gradient
    over the channel's places; what is negative is dropped; the rest is spread over the image
    bilinearly and scaled to [0, 1].

    Args:
        module: pixels (1, 3, H, W) to scores (1, C).
        layer: part of `module` that gives (1, K, h, w) with h·w > 1.
        pixels: (1, 3, H, W) float32, preprocessed.
        target: 0 <= target < C; the score to explain.
        image: its name, for error messages.
    Returns: (H, W) float32; the least value is 0, the greatest 1. All zeros where the gradient is
        not zero but no place speaks for the score more than the others; `stands_out` tells.

    Raises:
        UserFacingError: the layer has no map or does not reach the score; the gradient is zero;
            a score, a map or a gradient is not finite.
        ValueError: `target` is no score of the module, or `pixels` is not one image.
    Source: Selvaraju et al. 2017, Grad-CAM, equations 1 and 2.
    """
    if pixels.ndim != 4 or pixels.shape[0] != 1:
        raise ValueError(f"pixels are (1, 3, H, W), one image, got {tuple(pixels.shape)}")
    with frozen(module), _grad_cam(module, layer, image) as cam:
        heat = cam(pixels.detach(), [lambda scores: pick_score(scores, target, image)])[0]  # (H, W)
    # The library divides by the maximum plus 1e-7, and interpolation may miss the peak.
    peak = float(heat.max())
    return np.asarray(heat / peak if peak > 0 else heat, dtype=np.float32)


def stands_out(heat: np.ndarray) -> bool:
    """Whether any place speaks for the score more than the others."""
    return bool(np.any(heat > 0))


def pick_score(scores: torch.Tensor, target: int, image: str) -> torch.Tensor:
    """One score of a (C,) vector, after checking that it can be explained.

    Raises: ValueError: no such score. UserFacingError: not finite, or no layer reaches it.
    """
    if not 0 <= target < len(scores):
        raise ValueError(f"target {target} is outside the module's {len(scores)} scores")
    score = scores[target]
    if not torch.isfinite(score):
        raise unexplainable(image, f"score {target} is {score.item()}")
    if not score.requires_grad:
        raise unexplainable(image, f"no gradient of score {target} reaches the chosen layer")
    return score


def unexplainable(image: str, what: str) -> UserFacingError:
    """The error of this room."""
    remedy = "check the model's weights and cam.layer, or leave the image out"
    return UserFacingError(f"explanation of {image}", what, remedy)


class _CheckedGradCAM(GradCAM):
    """GradCAM that refuses maps and gradients which explain nothing."""

    def __init__(self, module: nn.Module, layer: nn.Module, image: str) -> None:
        self.image = image
        super().__init__(module, [layer])

    def get_cam_weights(
        self,
        input_tensor: Any,
        target_layer: Any,
        target_category: Any,
        activations: np.ndarray,
        grads: np.ndarray | None,
    ) -> np.ndarray:
        """(1, K) weight of each channel: the mean gradient over its places."""
        if grads is None:
            raise unexplainable(self.image, "no gradient reaches the chosen layer")
        if not (np.isfinite(activations).all() and np.isfinite(grads).all()):
            raise unexplainable(self.image, "the layer's map or its gradient is not finite")
        if not grads.any():
            raise unexplainable(self.image, "the gradient is zero everywhere")
        return super().get_cam_weights(
            input_tensor, target_layer, target_category, activations, grads
        )


@contextmanager
def _grad_cam(module: nn.Module, layer: nn.Module, image: str) -> Iterator[_CheckedGradCAM]:
    """GradCAM at one layer; hooks, graph and tensors are gone afterwards, whatever happened."""

    def start_graph(_: nn.Module, __: Any, output: Any) -> torch.Tensor:
        """Let autograd begin here: what lies below needs neither memory nor a backward pass."""
        if not isinstance(output, torch.Tensor) or output.ndim != 4 or output[0, 0].numel() < 2:
            shape = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output)
            raise unexplainable(image, f"the layer gives {shape}, not a map (1, K, h, w)")
        return output.detach().requires_grad_()

    def keep_apart(_: nn.Module, __: Any, output: torch.Tensor) -> torch.Tensor:
        """Hand on a copy, so that an in-place activation cannot alter the map that was kept."""
        return output.clone()

    own = [layer.register_forward_hook(start_graph)]
    cam = _CheckedGradCAM(module, layer, image)
    own.append(layer.register_forward_hook(keep_apart))
    try:
        yield cam
    finally:
        cam.activations_and_grads.release()
        cam.outputs = None
        for hook in own:
            hook.remove()
