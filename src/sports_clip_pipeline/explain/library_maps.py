"""pytorch-grad-cam's methods with their loose ends tied.

Each class is the library's own, behind the same checks: what is not finite, does not pass the
chosen layer or has no gradient is an error that names the image. Two are mended besides:

* EigenCAM's first principal component has no sign of its own: the library draws either the object
  or all but the object, as the SVD happens to end. Here the component is flipped where its lowest
  value lies farther from zero than its highest (Chung and Ying 2025, equation 13), since what
  stands out is the smaller part. It is found from the places' Gram matrix, hundreds of times
  smaller than the full SVD that the library takes.
* ScoreCAM holds all masked copies of the image at once, keeps the layer's map of every one of its
  forwards, and prints a progress bar for each image. Here they come in batches, and nothing stays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from pytorch_grad_cam import EigenCAM, GradCAM, HiResCAM, LayerCAM, ScoreCAM
from torch import nn
from torch.nn import functional

from sports_clip_pipeline.errors import UserFacingError

Score = Callable[[torch.Tensor], torch.Tensor]
SCORE_BATCH = 32


def unexplainable(image: str, what: str) -> UserFacingError:
    """The error of this room."""
    remedy = "check the model's weights and cam.layer, or leave the image out"
    return UserFacingError(f"explanation of {image}", what, remedy)


class _Checked:
    """Refuses maps and gradients that explain nothing. Stands before a class of the library.

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
        """(B, h, w): the library's map, before what is negative is dropped."""
        for place, image in enumerate(self.images):
            self._check(image, place, activations, grads)
        drawn: np.ndarray = super().get_cam_image(  # type: ignore[misc]
            input_tensor, target_layer, targets, activations, grads, eigen_smooth
        )
        return drawn

    def _check(
        self, image: str, place: int, activations: np.ndarray | None, grads: np.ndarray | None
    ) -> None:
        if activations is None:
            raise unexplainable(image, "it does not pass the chosen layer")
        finite = np.isfinite(activations[place]).all()
        if self.uses_gradients:
            if grads is None:
                raise unexplainable(image, "no gradient reaches the chosen layer")
            finite = finite and np.isfinite(grads[place]).all()
        if not finite:
            raise unexplainable(image, "the layer's map or its gradient is not finite")
        if self.uses_gradients and self.strict and not grads[place].any():  # type: ignore[index]
            raise unexplainable(image, "the gradient is zero everywhere")


class CheckedGradCAM(_Checked, GradCAM):
    """Channels weighed by the mean of their gradient. Selvaraju et al. 2017, equations 1 and 2."""


class CheckedHiResCAM(_Checked, HiResCAM):
    """Gradient times activation, place by place. Draelos and Carin 2020, section 3.3."""


class CheckedLayerCAM(_Checked, LayerCAM):
    """Positive gradients times activation, place by place. Jiang et al. 2021, equation 6."""


class CheckedEigenCAM(_Checked, EigenCAM):
    """First principal component of the layer's map. Muhammad and Yeasin 2020, section III."""

    def get_cam_image(self, *given: Any, **named: Any) -> np.ndarray:
        """(B, h, w): see the module for its sign."""
        activations = given[3]
        for place, image in enumerate(self.images):
            self._check(image, place, activations, None)
        return np.stack([principal_map(one) for one in activations])


class CheckedScoreCAM(_Checked, ScoreCAM):
    """Channels weighed by the score of the image seen through them. Wang et al. 2020, algorithm 1.

    Attributes:
        batch_size: forwards at a time.
    """

    batch_size: int = SCORE_BATCH

    def get_cam_weights(
        self,
        input_tensor: torch.Tensor,
        target_layer: nn.Module,
        targets: Sequence[Score],
        activations: np.ndarray,
        grads: Any,
    ) -> np.ndarray:
        """(B, K): softmax over the channels of the score through each channel's mask."""
        kept = list(self.activations_and_grads.activations)
        rows = []
        with torch.inference_mode():
            for pixels, maps, target in zip(input_tensor, activations, targets, strict=True):
                rows.append(self._scores(pixels, torch.from_numpy(maps), target, kept))
        return torch.softmax(torch.stack(rows), dim=-1).numpy()

    def _scores(
        self, pixels: torch.Tensor, maps: torch.Tensor, target: Score, kept: list[Any]
    ) -> torch.Tensor:
        """(K,) of one image (3, H, W) with its maps (K, h, w)."""
        scores = []
        for chunk in maps.to(pixels.device).split(self.batch_size):
            size = tuple(pixels.shape[-2:])
            masks = functional.interpolate(  # as the library spreads them
                chunk[:, None], size, mode="bilinear", align_corners=True
            )
            low, high = masks.amin((2, 3), keepdim=True), masks.amax((2, 3), keepdim=True)
            answers = self.model((masks - low) / (high - low + 1e-8) * pixels[None])
            self.activations_and_grads.activations[:] = kept  # what its hooks have added
            scores += [target(one) for one in answers]
        return torch.stack(scores).float().cpu()


def principal_map(activations: np.ndarray) -> np.ndarray:
    """First principal component (h, w) of one layer's map (K, h, w), its sign settled.

    A tie between the ends is settled by the first place that is not zero, which is positive then.
    """
    places = activations.reshape(len(activations), -1).T.astype(np.float64)  # (h·w, K)
    places -= places.mean(axis=0)
    values, vectors = np.linalg.eigh(places @ places.T)
    component = vectors[:, -1] * np.sqrt(max(values[-1], 0.0))  # (h·w,)
    ends = float(component.max()) + float(component.min())
    if abs(ends) <= 1e-9 * float(np.abs(component).max()):
        solid = component[np.abs(component) > 1e-9 * np.abs(component).max()]
        ends = float(solid[0]) if len(solid) else 1.0
    signed: np.ndarray = component if ends >= 0 else -component
    return signed.reshape(activations.shape[1:]).astype(np.float32)


LIBRARY: Mapping[str, type[Any]] = {
    "gradcam": CheckedGradCAM,
    "hirescam": CheckedHiResCAM,
    "layercam": CheckedLayerCAM,
    "eigencam": CheckedEigenCAM,
    "scorecam": CheckedScoreCAM,
}
"""Class by the name that configuration gives the method."""
