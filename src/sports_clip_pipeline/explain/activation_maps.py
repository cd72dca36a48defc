"""Class activation maps of one network, by any method of `config.cam.METHODS`.

The methods are pytorch-grad-cam's. The library's own context manager swallows an IndexError, keeps
graphs alive from image to image and draws a blank where there is no gradient. Here everything is
released, and what cannot be explained is an error that names the image.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from sports_clip_pipeline.explain.frozen import frozen
from sports_clip_pipeline.explain.guided import guided_gradients
from sports_clip_pipeline.explain.layers import TokenGrid, token_grid
from sports_clip_pipeline.explain.library_maps import LIBRARY, unexplainable
from sports_clip_pipeline.explain.names import GUIDED, METHODS
from sports_clip_pipeline.explain.scores import Target, pick_score


def class_activation_map(
    module: nn.Module,
    layer: nn.Module,
    pixels: torch.Tensor,
    target: Target,
    *,
    image: str,
    method: str = "gradcam",
) -> np.ndarray:
    """How much each place of one image speaks for one score.

    For `gradcam`, the channels of the layer's output are added up, each with the mean of the
    score's gradient over the channel's places; the other methods weigh them in other ways. What is
    negative is dropped; the rest is spread over the image bilinearly and scaled to [0, 1].

    Args:
        module: pixels (1, 3, H, W) to scores (1, C).
        layer: part of `module` that gives (1, K, h, w) with h·w > 1, or the tokens (1, T, K) of a
            vision transformer, whose grid is read from the model.
        pixels: (1, 3, H, W) float32, preprocessed.
        target: 0 <= target < C; the score to explain. A pair (a, b) explains score a less score b.
            `eigencam` looks at the layer alone, whatever the target.
        image: its name, for error messages.
        method: of `config.cam.METHODS`. `guided` has no layer: the sizes of its gradients, summed
            over colours.
    Returns: (H, W) float32; the least value is 0, the greatest 1. All zeros where the gradient is
        not zero but no place speaks for the score more than the others; `stands_out` tells.

    Raises:
        UserFacingError: the layer has no map or does not reach the score; the gradient is zero;
            a score, a map or a gradient is not finite.
        ValueError: `target` is no score of the module, `pixels` is not one image, no such method.
    Source: Selvaraju et al. 2017 (Grad-CAM); the others are named in `library_maps`.
    """
    if pixels.ndim != 4 or pixels.shape[0] != 1:
        raise ValueError(f"pixels are (1, 3, H, W), one image, got {tuple(pixels.shape)}")
    maps = class_activation_maps(module, layer, pixels, [target], images=[image], method=method)
    return np.asarray(maps[0])


def class_activation_maps(
    module: nn.Module,
    layer: nn.Module,
    pixels: torch.Tensor,
    targets: Sequence[Target],
    *,
    images: Sequence[str],
    method: str = "gradcam",
    strict: bool = True,
) -> np.ndarray:
    """The same for a batch: (B, H, W), a target and a name for each image.

    Args:
        strict: whether a zero gradient is an error; without it, the map is zero.
    """
    if method not in METHODS:
        raise ValueError(f"a method is one of {', '.join(METHODS)}, got {method!r}")
    if method == GUIDED:
        return _scaled(_guided_sizes(module, pixels, targets, images, strict))
    with frozen(module), _library_map(module, layer, images, method) as cam:
        cam.strict = strict
        scores = [partial(pick_score, target=t, image=i) for t, i in _pairs(targets, images)]
        if not cam.uses_gradients:
            scores = [partial(score, needs_gradient=False) for score in scores]
        heat = cam(pixels.detach(), scores)  # (B, H, W)
        for answer, score in zip(cam.outputs, scores, strict=True):
            score(answer.detach(), needs_gradient=False)
    # The library divides by the maximum plus 1e-7, and interpolation may miss the peak.
    return _scaled(heat)


def stands_out(heat: np.ndarray) -> bool:
    """Whether any place speaks for the score more than the others."""
    return bool(np.any(heat > 0))


def _pairs(targets: Sequence[Target], images: Sequence[str]) -> list[tuple[Target, str]]:
    return list(zip(targets, images, strict=True))


def _scaled(heat: np.ndarray) -> np.ndarray:
    """(B, H, W) float32, the greatest value of each 1; zeros stay."""
    peaks = heat.max(axis=(1, 2), keepdims=True)
    return np.divide(heat, peaks, out=np.zeros_like(heat), where=peaks > 0).astype(np.float32)


def _guided_sizes(
    module: nn.Module,
    pixels: torch.Tensor,
    targets: Sequence[Target],
    images: Sequence[str],
    strict: bool,
) -> np.ndarray:
    maps = [
        guided_gradients(module, one[None], target, image=image, strict=strict)
        for one, (target, image) in zip(pixels, _pairs(targets, images), strict=True)
    ]
    return np.abs(np.stack(maps)).sum(axis=3)


@contextmanager
def _library_map(
    module: nn.Module, layer: nn.Module, images: Sequence[str], method: str
) -> Iterator[Any]:
    """One method at one layer; hooks, graph and tensors are gone afterwards, whatever happened."""
    grid = token_grid(module, layer)

    def start_graph(_: nn.Module, __: Any, output: Any) -> torch.Tensor:
        """Let autograd begin here: what lies below needs neither memory nor a backward pass."""
        if not _has_map(output, grid):
            shape = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output)
            raise unexplainable(images[0], f"the layer gives {shape}, not a map (1, K, h, w)")
        return output.detach().requires_grad_(torch.is_grad_enabled())

    def keep_apart(_: nn.Module, __: Any, output: torch.Tensor) -> torch.Tensor:
        """Hand on a copy, so that an in-place activation cannot alter the map that was kept."""
        return output.clone()

    own = [layer.register_forward_hook(start_graph)]
    cam = LIBRARY[method](module, [layer], None if grid is None else _as_map(grid))
    cam.images = images
    own.append(layer.register_forward_hook(keep_apart))
    try:
        yield cam
    finally:
        cam.activations_and_grads.release()
        cam.outputs = None
        for hook in own:
            hook.remove()


def _has_map(output: Any, grid: TokenGrid | None) -> bool:
    if not isinstance(output, torch.Tensor):
        return False
    if output.ndim == 3 and grid is not None:
        return output.shape[1] == grid.height * grid.width + grid.prefix
    return output.ndim == 4 and output[0, 0].numel() >= 2


def _as_map(grid: TokenGrid) -> Any:
    """Tokens to a map; a map (of a transformer's stem, say) as it is."""
    return lambda output: grid.as_map(output) if output.ndim == 3 else output
