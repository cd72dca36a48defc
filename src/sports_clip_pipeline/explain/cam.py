"""Class activation maps (Grad-CAM and relatives) and guided backpropagation of one network.

The methods are pytorch-grad-cam's with strict checks: hooks and graphs are always released, and
what cannot be explained is an error that names the image. Two methods differ:

* EigenCAM: a principal component has no sign of its own. It is flipped where its minimum lies
  farther from zero than its maximum (Chung and Ying 2025, equation 13), and computed from the Gram
  matrix of the positions, hundreds of times smaller than the library's full SVD.
* ScoreCAM: masked copies go through the network in batches, without the library's progress bar.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from pytorch_grad_cam import EigenCAM, GradCAM, HiResCAM, LayerCAM, ScoreCAM
from torch import nn
from torch.nn import functional

from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.explain import GUIDED
from sports_clip_pipeline.explain.networks import (
    Target,
    frozen,
    layer_map,
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
    strict: bool = True,
) -> np.ndarray:
    """Saliency map: how much each position of one image supports one score.

    Args:
        module: pixels (1, 3, H, W) to scores (1, C).
        layer: part of `module` that gives (1, K, h, w) with h·w > 1, or the tokens (1, T, K) of a
            vision transformer, whose grid is read from the model.
        pixels: (1, 3, H, W) float32, preprocessed.
        target: 0 <= target < C, the score to explain; a pair (a, b) explains score a less score b.
            `eigencam` uses the layer alone, whatever the target.
        image: its name, for error messages.
        method: of `explain.METHODS`. `guided` has no layer: absolute gradients, summed over RGB.
        strict: whether a zero gradient is an error; otherwise the map is zero.
    Returns: (H, W) float32, negative values dropped, upsampled bilinearly, minimum 0 and maximum 1;
        all zeros where no position has a positive value.

    Raises:
        UserFacingError: the layer has no map or does not reach the score; the gradient is zero;
            a score, a map or a gradient is not finite.
        ValueError: `pixels` is not one image.
    Source: Selvaraju et al. 2017 (Grad-CAM); the other methods are cited at `_METHODS`.
    """
    if pixels.ndim != 4 or pixels.shape[0] != 1:
        raise ValueError(f"pixels are (1, 3, H, W), one image, got {tuple(pixels.shape)}")
    if method == GUIDED:
        gradient = guided_gradients(module, pixels, target, image=image, strict=strict)
        heat = np.abs(gradient).sum(axis=2)
    else:
        with frozen(module), _library_cam(module, layer, image, method, strict) as cam:
            score = partial(pick_score, target=target, image=image)
            heat = cam(pixels.detach(), [partial(score, needs_gradient=cam.uses_gradients)])[0]
            score(cam.outputs[0].detach(), needs_gradient=False)
    # The library divides by the maximum plus 1e-7, and interpolation may miss the peak.
    return (heat / heat.max() if heat.max() > 0 else np.zeros_like(heat)).astype(np.float32)


def guided_gradients(
    module: nn.Module, pixels: torch.Tensor, target: Target, *, image: str, strict: bool = True
) -> np.ndarray:
    """Guided backpropagation: pixel gradient through ReLUs that pass positive gradients only.

    It draws edges whatever the network has learned (Adebayo et al. 2018, Sanity Checks for
    Saliency Maps), and is shown with that note. Arguments and errors as `class_activation_map`.

    Returns: (H, W, 3) float32, signed, in score per unit of preprocessed pixel.
    Raises: UserFacingError: the network has no ReLU or ReLU6.
    Source: Springenberg et al. 2015, Striving for Simplicity, section 3.4.
    """
    activations = [part for part in module.modules() if isinstance(part, (nn.ReLU, nn.ReLU6))]
    if not activations:
        raise UserFacingError(
            "guided backpropagation",
            f"{type(module).__name__} has no ReLU or ReLU6 to guide",
            "set cam.guided to false for this encoder, leave guided out of cam_eval.methods",
        )
    with frozen(module), ExitStack() as hooks:
        for part in activations:
            hooks.enter_context(part.register_forward_hook(_drop_negative_gradients))
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


def _drop_negative_gradients(_: nn.Module, __: Any, output: torch.Tensor) -> None:
    if output.requires_grad:
        output.register_hook(lambda gradient: gradient.clamp(min=0))


def principal_map(activations: np.ndarray) -> np.ndarray:
    """First principal component (h, w) of activations (K, h, w), with a definite sign.

    Where maximum and minimum are equally far from zero, the first nonzero position is positive.
    """
    positions = activations.reshape(len(activations), -1).T.astype(np.float64)  # (h·w, K)
    positions -= positions.mean(axis=0)
    values, vectors = np.linalg.eigh(positions @ positions.T)
    component = vectors[:, -1] * np.sqrt(max(values[-1], 0.0))  # (h·w,)
    sign = float(component.max()) + float(component.min())
    negligible = 1e-9 * float(np.abs(component).max())
    if abs(sign) <= negligible:
        nonzero = component[np.abs(component) > negligible]
        sign = float(nonzero[0]) if len(nonzero) else 1.0
    signed: np.ndarray = component if sign >= 0 else -component
    return signed.reshape(activations.shape[1:]).astype(np.float32)


class SignedEigenCAM(EigenCAM):
    """EigenCAM by `principal_map`."""

    def get_cam_image(self, *arguments: Any, **_: Any) -> np.ndarray:
        """(1, h, w)."""
        activations = arguments[3]
        return principal_map(activations[0])[None]


class BatchedScoreCAM(ScoreCAM):
    """ScoreCAM of one image in batches of masks."""

    def get_cam_weights(
        self, input_tensor: torch.Tensor, _: Any, targets: Any, activations: np.ndarray, __: Any
    ) -> np.ndarray:
        """(1, K): softmax over the channels of the score under each channel's mask."""
        stored = self.activations_and_grads.activations
        before, scores = list(stored), []
        size = (input_tensor.shape[-2], input_tensor.shape[-1])
        channels = torch.from_numpy(activations[0]).to(input_tensor.device)
        with torch.inference_mode():
            for chunk in channels.split(SCORE_BATCH):  # (b, h, w); upsampled as the library does
                masks = functional.interpolate(
                    chunk[:, None], size, mode="bilinear", align_corners=True
                )
                low, high = masks.amin((2, 3), keepdim=True), masks.amax((2, 3), keepdim=True)
                outputs = self.model((masks - low) / (high - low + 1e-8) * input_tensor)
                stored[:] = before  # drop what the library's hooks have added
                scores += [targets[0](one) for one in outputs]
            return torch.softmax(torch.stack(scores).float().cpu()[None], dim=-1).numpy()


_METHODS: Mapping[str, type[Any]] = {
    "gradcam": GradCAM,  # mean gradient of each channel: Selvaraju et al. 2017, equations 1 and 2
    "hirescam": HiResCAM,  # gradient times activation: Draelos and Carin 2020, section 3.3
    "layercam": LayerCAM,  # positive gradient times activation: Jiang et al. 2021, equation 6
    "eigencam": SignedEigenCAM,  # principal component: Muhammad and Yeasin 2020, section III
    "scorecam": BatchedScoreCAM,  # score of the masked image: Wang et al. 2020, algorithm 1
}


@contextmanager
def _library_cam(
    module: nn.Module, layer: nn.Module, image: str, method: str, strict: bool
) -> Iterator[Any]:
    """The library's object for a method and a layer; hooks, graph and tensors are released."""
    grid = token_grid(module, layer)

    def check_gradient(gradient: torch.Tensor) -> None:
        on_map = layer_map(gradient, grid)
        assert on_map is not None
        if not on_map.isfinite().all():
            raise unexplainable(image, "the gradient at the layer is not finite")
        if strict and not on_map.any():
            raise unexplainable(image, "the gradient is zero everywhere")

    def start_graph(_: nn.Module, __: Any, output: Any) -> torch.Tensor:
        """Start autograd here: the layers below need neither memory nor a backward pass."""
        activations = layer_map(output, grid)
        if activations is None:
            shape = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output)
            raise unexplainable(image, f"the layer gives {shape}, not a map (1, K, h, w)")
        if not activations.isfinite().all():
            raise unexplainable(image, "the layer's map is not finite")
        start: torch.Tensor = output.detach().requires_grad_(torch.is_grad_enabled())
        if start.requires_grad:
            start.register_hook(check_gradient)
        return start

    def copy_output(_: nn.Module, __: Any, output: torch.Tensor) -> torch.Tensor:
        """Pass on a copy, so that an in-place activation cannot alter the stored map."""
        return output.clone()

    def check_passed(*_: Any) -> None:
        if not cam.activations_and_grads.activations:
            raise unexplainable(image, "it does not pass the chosen layer")

    with ExitStack() as stack:
        stack.enter_context(layer.register_forward_hook(start_graph))
        cam = _METHODS[method](module, [layer], partial(layer_map, grid=grid))
        stack.callback(cam.activations_and_grads.release)
        stack.enter_context(layer.register_forward_hook(copy_output))
        stack.enter_context(module.register_forward_hook(check_passed))
        yield cam
