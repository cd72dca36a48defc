"""Class activation maps (Grad-CAM and its relatives) and guided backpropagation of one network.

The methods are pytorch-grad-cam's, made strict: its own context manager swallows an IndexError,
keeps graphs alive from image to image and draws a blank where there is no gradient. Here hooks and
graphs are released, and what cannot be explained is an error that names the image. Two differ:

* EigenCAM: a principal component has no sign of its own. It is flipped where its minimum lies
  farther from zero than its maximum (Chung and Ying 2025, equation 13), and found from the Gram
  matrix of the positions, hundreds of times smaller than the library's full SVD.
* ScoreCAM: masked copies go through the network in batches, without the library's progress bar.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from pytorch_grad_cam import EigenCAM, GradCAM, HiResCAM, LayerCAM, ScoreCAM
from pytorch_grad_cam.guided_backprop import GuidedBackpropReLUasModule
from torch import nn
from torch.nn import functional

from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.explain import GUIDED, METHODS
from sports_clip_pipeline.explain.targets import (
    Target,
    TokenGrid,
    frozen,
    pick_score,
    token_grid,
    unexplainable,
)

SCORE_BATCH = 32


def class_activation_map(
    module: nn.Module,
    layer: nn.Module,
    pixels: torch.Tensor,
    target: Target,
    *,
    image: str,
    method: str = "gradcam",
) -> np.ndarray:
    """How much each position of one image supports one score.

    Args:
        module: pixels (1, 3, H, W) to scores (1, C).
        layer: part of `module` that gives (1, K, h, w) with h·w > 1, or the tokens (1, T, K) of a
            vision transformer, whose grid is read from the model.
        pixels: (1, 3, H, W) float32, preprocessed.
        target: 0 <= target < C, the score to explain. A pair (a, b) explains score a less score b.
            `eigencam` uses the layer alone, whatever the target.
        image: its name, for error messages.
        method: of `explain.METHODS`. `guided` has no layer: absolute gradients, summed over RGB.
    Returns: (H, W) float32, negative values dropped, upsampled bilinearly, minimum 0 and maximum 1.
        All zeros where the gradient is not zero but no position has a positive value.

    Raises:
        UserFacingError: the layer has no map or does not reach the score; the gradient is zero;
            a score, a map or a gradient is not finite.
        ValueError: `target` is no score of the module, `pixels` is not one image, no such method.
    Source: Selvaraju et al. 2017 (Grad-CAM); the other methods are cited at their classes.
    """
    _check_one_image(pixels)
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
    pairs = list(zip(targets, images, strict=True))
    if method == GUIDED:
        gradients = [
            guided_gradients(module, one[None], target, image=image, strict=strict)
            for one, (target, image) in zip(pixels, pairs, strict=True)
        ]
        return _scaled(np.abs(np.stack(gradients)).sum(axis=3))
    with frozen(module), _library_map(module, layer, images, method) as cam:
        cam.strict = strict
        scores = [partial(pick_score, target=target, image=image) for target, image in pairs]
        if not cam.uses_gradients:
            scores = [partial(score, needs_gradient=False) for score in scores]
        heat = cam(pixels.detach(), scores)  # (B, H, W)
        for output, score in zip(cam.outputs, scores, strict=True):
            score(output.detach(), needs_gradient=False)
    # The library divides by the maximum plus 1e-7, and interpolation may miss the peak.
    return _scaled(heat)


def stands_out(heat: np.ndarray) -> bool:
    """Whether any position has a positive value."""
    return bool(np.any(heat > 0))


def guided_gradients(
    module: nn.Module, pixels: torch.Tensor, target: Target, *, image: str, strict: bool = True
) -> np.ndarray:
    """Guided backpropagation: pixel gradient through ReLUs that pass positive gradients only.

    It draws edges whatever the network has learned (Adebayo et al. 2018, Sanity Checks for
    Saliency Maps), and is shown with that note.

    Args: module, pixels, target, image, strict: as `class_activation_maps`, one image.
    Returns: (H, W, 3) float32, signed, in score per unit of preprocessed pixel.

    Raises:
        UserFacingError: the network has no ReLU or ReLU6; the gradient is zero or not finite.
        ValueError: `target` is no score of the module, or `pixels` is not one image.
    Source: Springenberg et al. 2015, Striving for Simplicity, section 3.4.
    """
    _check_one_image(pixels)
    with frozen(module), guided_activations(module) as count:
        if not count:
            raise UserFacingError(
                "guided backpropagation",
                f"{type(module).__name__} has no ReLU or ReLU6 to guide",
                "set cam.guided to false for this encoder, leave guided out of cam_eval.methods",
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
    """ReLU6 whose backward pass lets only positive gradients through; the library has ReLU only."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Same shape, in [0, 6]."""
        return _GuidedReLU6Function.apply(values)


@contextmanager
def guided_activations(module: nn.Module) -> Iterator[int]:
    """Every ReLU and ReLU6 below `module` guided; the very same objects restored afterwards.

    Yields: how many were replaced.
    """
    replaced: list[tuple[nn.Module, str, nn.Module]] = []
    try:
        for parent in list(module.modules()):
            for name, child in parent._modules.items():
                if isinstance(child, (nn.ReLU, nn.ReLU6)):
                    six = isinstance(child, nn.ReLU6)
                    replaced.append((parent, name, child))
                    parent._modules[name] = GuidedReLU6() if six else GuidedBackpropReLUasModule()
        yield len(replaced)
    finally:
        for parent, name, child in replaced:
            parent._modules[name] = child


def principal_map(activations: np.ndarray) -> np.ndarray:
    """First principal component (h, w) of one layer's map (K, h, w), with a definite sign.

    A tie between the ends is settled by the first position that is not zero: it is positive.
    """
    positions = activations.reshape(len(activations), -1).T.astype(np.float64)  # (h·w, K)
    positions -= positions.mean(axis=0)
    values, vectors = np.linalg.eigh(positions @ positions.T)
    component = vectors[:, -1] * np.sqrt(max(values[-1], 0.0))  # (h·w,)
    ends = float(component.max()) + float(component.min())
    negligible = 1e-9 * float(np.abs(component).max())
    if abs(ends) <= negligible:
        nonzero = component[np.abs(component) > negligible]
        ends = float(nonzero[0]) if len(nonzero) else 1.0
    signed: np.ndarray = component if ends >= 0 else -component
    return signed.reshape(activations.shape[1:]).astype(np.float32)


class _Checked:
    """Mixin before a class of the library: rejects maps and gradients that explain nothing.

    Attributes:
        images: names, one for each row of the batch.
        strict: whether a zero gradient is an error; without it, the map is zero.
    """

    images: Sequence[str]
    strict: bool = True
    uses_gradients: bool

    def get_cam_image(
        self,
        input_tensor: Any,
        target_layer: Any,
        targets: Any,
        activations: np.ndarray | None,
        grads: np.ndarray | None,
        eigen_smooth: bool = False,
    ) -> np.ndarray:
        """(B, h, w): the library's map, before negative values are dropped."""
        for row, image in enumerate(self.images):
            self._check(image, row, activations, grads)
        raw: np.ndarray = super().get_cam_image(  # type: ignore[misc]
            input_tensor, target_layer, targets, activations, grads, eigen_smooth
        )
        return raw

    def _check(
        self, image: str, row: int, activations: np.ndarray | None, grads: np.ndarray | None
    ) -> None:
        if activations is None:
            raise unexplainable(image, "it does not pass the chosen layer")
        finite = np.isfinite(activations[row]).all()
        if self.uses_gradients:
            if grads is None:
                raise unexplainable(image, "no gradient reaches the chosen layer")
            finite = finite and np.isfinite(grads[row]).all()
        if not finite:
            raise unexplainable(image, "the layer's map or its gradient is not finite")
        if self.uses_gradients and self.strict and not grads[row].any():  # type: ignore[index]
            raise unexplainable(image, "the gradient is zero everywhere")


class CheckedGradCAM(_Checked, GradCAM):
    """Channels weighted by the mean of their gradient. Selvaraju et al. 2017, equations 1 and 2."""


class CheckedHiResCAM(_Checked, HiResCAM):
    """Gradient times activation at each position. Draelos and Carin 2020, section 3.3."""


class CheckedLayerCAM(_Checked, LayerCAM):
    """Positive gradients times activation at each position. Jiang et al. 2021, equation 6."""


class CheckedEigenCAM(_Checked, EigenCAM):
    """First principal component of the layer's map. Muhammad and Yeasin 2020, section III."""

    def get_cam_image(self, *given: Any, **named: Any) -> np.ndarray:
        """(B, h, w), by `principal_map`."""
        activations = given[3]
        for row, image in enumerate(self.images):
            self._check(image, row, activations, None)
        return np.stack([principal_map(one) for one in activations])


class CheckedScoreCAM(_Checked, ScoreCAM):
    """Channels weighted by the score of the image masked by them. Wang et al. 2020, algorithm 1."""

    batch_size: int = SCORE_BATCH

    def get_cam_weights(
        self,
        input_tensor: torch.Tensor,
        target_layer: nn.Module,
        targets: Sequence[Callable[[torch.Tensor], torch.Tensor]],
        activations: np.ndarray,
        grads: Any,
    ) -> np.ndarray:
        """(B, K): softmax over the channels of the score under each channel's mask."""
        stored = self.activations_and_grads.activations
        before, rows = list(stored), []
        with torch.inference_mode():
            for pixels, maps, target in zip(input_tensor, activations, targets, strict=True):
                size = (pixels.shape[-2], pixels.shape[-1])
                scores: list[torch.Tensor] = []
                chunks = torch.from_numpy(maps).to(pixels.device).split(self.batch_size)
                for chunk in chunks:  # (b, h, w); upsampled as the library does
                    masks = functional.interpolate(
                        chunk[:, None], size, mode="bilinear", align_corners=True
                    )
                    low, high = masks.amin((2, 3), keepdim=True), masks.amax((2, 3), keepdim=True)
                    outputs = self.model((masks - low) / (high - low + 1e-8) * pixels[None])
                    stored[:] = before  # drop what the library's hooks have added
                    scores += [target(one) for one in outputs]
                rows.append(torch.stack(scores).float().cpu())
        return torch.softmax(torch.stack(rows), dim=-1).numpy()


_CLASSES: Mapping[str, type[Any]] = {
    "gradcam": CheckedGradCAM,
    "hirescam": CheckedHiResCAM,
    "layercam": CheckedLayerCAM,
    "eigencam": CheckedEigenCAM,
    "scorecam": CheckedScoreCAM,
}


@contextmanager
def _library_map(
    module: nn.Module, layer: nn.Module, images: Sequence[str], method: str
) -> Iterator[Any]:
    """One method at one layer; hooks, graph and tensors are released whatever happens."""
    grid = token_grid(module, layer)

    def start_graph(_: nn.Module, __: Any, output: Any) -> torch.Tensor:
        """Let autograd begin here: the layers below need neither memory nor a backward pass."""
        if not _has_map(output, grid):
            shape = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output)
            raise unexplainable(images[0], f"the layer gives {shape}, not a map (1, K, h, w)")
        return output.detach().requires_grad_(torch.is_grad_enabled())

    def copy_output(_: nn.Module, __: Any, output: torch.Tensor) -> torch.Tensor:
        """Pass on a copy, so that an in-place activation cannot alter the stored map."""
        return output.clone()

    hooks = [layer.register_forward_hook(start_graph)]
    as_map = None if grid is None else lambda out: grid.as_map(out) if out.ndim == 3 else out
    cam = _CLASSES[method](module, [layer], as_map)
    cam.images = images
    hooks.append(layer.register_forward_hook(copy_output))
    try:
        yield cam
    finally:
        cam.activations_and_grads.release()
        cam.outputs = None
        for hook in hooks:
            hook.remove()


def _has_map(output: Any, grid: TokenGrid | None) -> bool:
    if not isinstance(output, torch.Tensor):
        return False
    if output.ndim == 3 and grid is not None:
        return output.shape[1] == grid.height * grid.width + grid.prefix
    return output.ndim == 4 and output[0, 0].numel() >= 2


def _check_one_image(pixels: torch.Tensor) -> None:
    if pixels.ndim != 4 or pixels.shape[0] != 1:
        raise ValueError(f"pixels are (1, 3, H, W), one image, got {tuple(pixels.shape)}")


def _scaled(heat: np.ndarray) -> np.ndarray:
    """(B, H, W) float32, the maximum of each 1; zeros stay."""
    peaks = heat.max(axis=(1, 2), keepdims=True)
    return np.divide(heat, peaks, out=np.zeros_like(heat), where=peaks > 0).astype(np.float32)
