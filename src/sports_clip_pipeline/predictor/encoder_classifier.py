"""Image encoders with one classifier head as a torch module, from pixels or from bytes."""

import copy
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from sports_clip_pipeline.data.transforms import ImageTransform, InputSpec
from sports_clip_pipeline.encoders.image_encoders import image_encoder, load_image_encoder, pooled
from sports_clip_pipeline.predictor.head import Head, HeadModule
from sports_clip_pipeline.predictor.predictor import EncoderInput, Predictor


class AdditionalEncoder(nn.Module):
    """A further encoder on the first encoder's pixels, differentiably resized and renormalised."""

    def __init__(self, name: str, target: ImageTransform, source: ImageTransform) -> None:
        """An encoder by name, its own preprocessing, and that of the pixels it is given."""
        super().__init__()
        self.encoder: Any = load_image_encoder(name)
        self.size = target.size
        mean, std = torch.tensor([source.mean, target.mean]), torch.tensor([source.std, target.std])
        self.register_buffer("factor", (std[0] / std[1]).reshape(1, 3, 1, 1))
        self.register_buffer("shift", ((mean[0] - mean[1]) / std[1]).reshape(1, 3, 1, 1))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) of the first encoder to this encoder's features (B, D)."""
        if pixels.shape[-2:] != (self.size, self.size):
            pixels = functional.interpolate(
                pixels, (self.size, self.size), mode="bilinear", align_corners=False
            )
        pixels = pixels * self.get_buffer("factor") + self.get_buffer("shift")
        return pooled(self.encoder, pixels)


class EncoderClassifier(nn.Module):
    """Pixels to concatenated pooled features of all encoders, to logits.

    Attributes:
        encoder: the timm model of the first encoder; its own classifier is not used.
        additional_encoders: further encoders, in the order of their columns.
        head: features (B, ΣD) to logits (B, C).
    """

    def __init__(self, predictor: Predictor) -> None:
        """Build the encoders. Raises: UserFacingError: an encoder's weights are missing."""
        super().__init__()
        first, *additional = predictor.encoders
        spec, weights = image_encoder(first.name), predictor.encoder_weights
        self.encoder: Any = spec.build() if weights else spec.load()
        if weights:
            state = {key: torch.tensor(value) for key, value in weights.items()}
            self.encoder.load_state_dict(state)
        self.additional_encoders = nn.ModuleList(
            AdditionalEncoder(encoder.name, encoder.preprocessing, first.preprocessing)
            for encoder in additional
        )
        self.head = HeadModule(predictor.head)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W), normalised for the first encoder, to (B, C)."""
        additional = [encoder(pixels) for encoder in self.additional_encoders]
        features = torch.cat([pooled(self.encoder, pixels), *additional], dim=1)  # (B, ΣD)
        return self.head(features)  # (B, C)

    def all_encoders(self) -> list[Any]:
        """The networks of all encoders, in the order of their columns."""
        return [self.encoder, *(other.encoder for other in self.additional_encoders)]

    def with_head(self, head: Head) -> Self:
        """The same encoders, shared, with another head."""
        other = copy.copy(self)
        other._modules = {**self._modules, "head": HeadModule(head)}
        return other


class FullPredictor(nn.Module):
    """All encoders on all their views, the head, the temperature and the softmax, from bytes.

    Agrees with `Predictor.predict_images` to float32 precision.

    Attributes:
        input_specs: distinct input specs of all encoders and views, in the order of the inputs.
    """

    def __init__(self, predictor: Predictor) -> None:
        """Build the encoders. Raises: UserFacingError: an encoder's weights are missing."""
        super().__init__()
        encoders = predictor.encoders
        views = (view.input_spec for encoder in encoders for view in encoder.each_view())
        self.input_specs = tuple(dict.fromkeys(views))
        module = predictor.module()
        self.view_means = nn.ModuleList(
            _ViewMean(encoder, trunk, self.input_specs)
            for encoder, trunk in zip(encoders, module.all_encoders(), strict=True)
        )
        self.head = module.head
        self.temperature = predictor.temperature
        self.eval()

    def forward(self, *crops: torch.Tensor) -> torch.Tensor:
        """(B, S, S, 3) uint8 of each input spec to probabilities (B, C) float32."""
        features = torch.cat([view_mean(crops) for view_mean in self.view_means], dim=1)  # (B, ΣD)
        return functional.softmax(self.head(features) / self.temperature, dim=1)


class TorchClassifier:
    """A `FullPredictor` in eager torch, over NumPy arrays."""

    def __init__(self, predictor: Predictor, threads: int) -> None:
        torch.set_num_threads(threads)
        self._module = FullPredictor(predictor).to(memory_format=torch.channels_last)
        self.input_specs = self._module.input_specs

    def __call__(self, crops: Sequence[np.ndarray]) -> np.ndarray:
        """(B, S, S, 3) uint8 of each input spec to probabilities (B, C) float32."""
        with torch.inference_mode():
            probabilities: np.ndarray = self._module(*map(torch.from_numpy, crops)).numpy()
        return probabilities


class _ViewMean(nn.Module):
    """Pooled features of one encoder, means over its views."""

    def __init__(self, encoder: EncoderInput, trunk: Any, input_specs: Sequence[InputSpec]) -> None:
        super().__init__()
        self.trunk = trunk
        self.inputs = [input_specs.index(view.input_spec) for view in encoder.each_view()]
        for name in ("mean", "std"):
            value = torch.tensor(getattr(encoder.preprocessing, name)).reshape(1, 3, 1, 1)
            self.register_buffer(name, value)

    def forward(self, crops: Sequence[torch.Tensor]) -> torch.Tensor:
        views = torch.cat([crops[number] for number in self.inputs])  # (V·B, S, S, 3)
        pixels = views.permute(0, 3, 1, 2).float() / 255.0  # (V·B, 3, S, S)
        pixels = (pixels - self.get_buffer("mean")) / self.get_buffer("std")
        features = pooled(self.trunk, pixels)  # (V·B, D)
        return features.reshape(len(self.inputs), -1, features.shape[-1]).mean(dim=0)  # (B, D)
