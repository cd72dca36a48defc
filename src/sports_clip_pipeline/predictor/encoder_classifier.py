"""Image encoders with one classifier head as a torch module, from pixels or from bytes."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from sports_clip_pipeline.data.transforms import ImageTransform, InputSpec
from sports_clip_pipeline.encoders.image_encoders import image_encoder, load_image_encoder
from sports_clip_pipeline.predictor.head import Head, HeadModule
from sports_clip_pipeline.predictor.predictor import EncoderInput, Predictor


class AdditionalEncoder(nn.Module):
    """A further encoder that is handed the first encoder's pixels.

    They are resized bilinearly where it wants another size, and normalised anew where it wants
    another mean or spread, so gradients reach the pixels through it as well.
    """

    def __init__(self, tower: str, wanted: ImageTransform, given: ImageTransform) -> None:
        """An encoder by name, the preprocessing it wants, and the one the pixels come with."""
        super().__init__()
        self.tower: Any = load_image_encoder(tower)
        self.size = wanted.size
        for name, value in _renormalisation(wanted, given).items():
            self.register_buffer(name, value)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) of the first encoder to this encoder's features (B, D)."""
        if pixels.shape[-2:] != (self.size, self.size):
            pixels = functional.interpolate(
                pixels, (self.size, self.size), mode="bilinear", align_corners=False
            )
        pixels = pixels * self.get_buffer("factor") + self.get_buffer("shift")
        return pooled(self.tower, pixels)


class EncoderClassifier(nn.Module):
    """Pixels to pooled features of all encoders, side by side, to logits.

    Attributes:
        tower: the timm model of the first encoder, its own 1,000-class head unused.
        additional_encoders: further encoders, in the order of their columns.
        head: features (B, ΣD) to logits (B, C).
    """

    def __init__(
        self,
        tower: str,
        weights: Mapping[str, np.ndarray],
        head: Head,
        additional_encoders: Sequence[AdditionalEncoder] = (),
    ) -> None:
        """The first encoder by name, its own weights (empty for those its name says), the rest."""
        super().__init__()
        self.tower: Any = image_encoder(tower).build() if weights else load_image_encoder(tower)
        if weights:
            self.tower.load_state_dict({key: torch.tensor(value) for key, value in weights.items()})
        self.additional_encoders = nn.ModuleList(additional_encoders)
        self.head = HeadModule(head)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W), as the first encoder wants them, to (B, C)."""
        features = [
            pooled(self.tower, pixels),
            *(other(pixels) for other in self.additional_encoders),
        ]
        return self.head(torch.cat(features, dim=1))  # (B, ΣD) to (B, C)

    def under(self, head: Head) -> EncoderClassifier:
        """The same encoders, not copies of them, under another head."""
        other = copy.copy(self)
        other._modules = {**self._modules, "head": HeadModule(head)}
        return other


def pooled(tower: Any, pixels: torch.Tensor) -> torch.Tensor:
    """(B, 3, H, W) to the pooled features (B, D) of a timm model."""
    features: torch.Tensor = tower.forward_head(tower.forward_features(pixels), pre_logits=True)
    return features


def _renormalisation(wanted: ImageTransform, given: ImageTransform) -> dict[str, torch.Tensor]:
    """`factor` and `shift` (1, 3, 1, 1) that turn given pixels into wanted ones."""
    mean, std = (torch.tensor([given.mean, wanted.mean]), torch.tensor([given.std, wanted.std]))
    return {
        "factor": (std[0] / std[1]).reshape(1, 3, 1, 1),
        "shift": ((mean[0] - mean[1]) / std[1]).reshape(1, 3, 1, 1),
    }


def input_specs_of(predictor: Predictor) -> tuple[InputSpec, ...]:
    """What the encoders spec at, each once, in the order in which they first ask for it."""
    asked = (view.input_spec for tower in predictor.towers for view in tower.each_view())
    return tuple(dict.fromkeys(asked))


class WholePredictor(nn.Module):
    """All encoders on all their views, the head, the temperature and the softmax.

    Agrees with `Predictor.predict_images` to float32 precision.

    Attributes:
        input_specs: of the inputs, in order.
    """

    def __init__(self, predictor: Predictor) -> None:
        """Build the encoders. Raises: UserFacingError: an encoder's weights are missing."""
        super().__init__()
        self.input_specs = input_specs_of(predictor)
        module = predictor.module()
        trunks = [module.tower, *(companion.tower for companion in module.additional_encoders)]
        pairs = zip(predictor.towers, trunks, strict=True)
        self.view_means = nn.ModuleList(
            [_ViewMean(tower, trunk, self.input_specs) for tower, trunk in pairs]
        )
        self.head = module.head
        self.temperature = predictor.temperature
        self.eval()

    def forward(self, *crops: torch.Tensor) -> torch.Tensor:
        """(B, S, S, 3) uint8 of each spec to probabilities (B, C) float32."""
        features = torch.cat([view_mean(crops) for view_mean in self.view_means], dim=1)  # (B, ΣD)
        return functional.softmax(self.head(features) / self.temperature, dim=1)


class TorchAnswerer:
    """Squares to probabilities by eager torch.

    Attributes:
        input_specs: of the crops.
    """

    def __init__(self, predictor: Predictor, threads: int) -> None:
        torch.set_num_threads(threads)
        self._module = WholePredictor(predictor).to(memory_format=torch.channels_last)
        self.input_specs = self._module.input_specs

    def __call__(self, crops: Sequence[np.ndarray]) -> np.ndarray:
        """(B, S, S, 3) uint8 of each spec to probabilities (B, C) float32."""
        with torch.inference_mode():
            found: np.ndarray = self._module(*map(torch.from_numpy, crops)).numpy()
        return found


class _ViewMean(nn.Module):
    """One tower: its views of the crops to the mean of what it makes of them."""

    def __init__(self, tower: EncoderInput, trunk: Any, input_specs: Sequence[InputSpec]) -> None:
        super().__init__()
        self.trunk = trunk
        self.places = [input_specs.index(view.input_spec) for view in tower.each_view()]
        for name in ("mean", "std"):
            value = torch.tensor(getattr(tower.preprocessing, name)).reshape(1, 3, 1, 1)
            self.register_buffer(name, value)

    def forward(self, crops: Sequence[torch.Tensor]) -> torch.Tensor:
        seen = torch.cat([crops[place] for place in self.places])  # (V·B, S, S, 3)
        pixels = seen.permute(0, 3, 1, 2).float() / 255.0  # (V·B, 3, S, S)
        pixels = (pixels - self.get_buffer("mean")) / self.get_buffer("std")
        features = pooled(self.trunk, pixels)  # (V·B, D)
        return features.reshape(len(self.places), -1, features.shape[-1]).mean(dim=0)  # (B, D)
