"""A predictor as one torch module, from squares of bytes to probabilities; what is exported."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from sports_clip_pipeline.models.predictor import Predictor, TowerInput
from sports_clip_pipeline.models.tower_classifier import pooled
from sports_clip_pipeline.preprocessing.looks import Look


def looks_of(predictor: Predictor) -> tuple[Look, ...]:
    """What the towers look at, each once, in the order in which they first ask for it."""
    asked = (Look.of(view) for tower in predictor.towers for view in tower.each_view())
    return tuple(dict.fromkeys(asked))


class WholePredictor(nn.Module):
    """All towers on all their views, the head, the temperature and the softmax.

    Agrees with `Predictor.predict_images` to float32 precision.

    Attributes:
        looks: of the inputs, in order.
    """

    def __init__(self, predictor: Predictor) -> None:
        """Build the towers. Raises: UserFacingError: a tower's weights are missing."""
        super().__init__()
        self.looks = looks_of(predictor)
        module = predictor.module()
        trunks = [module.tower, *(companion.tower for companion in module.additional_encoders)]
        pairs = zip(predictor.towers, trunks, strict=True)
        self.eyes = nn.ModuleList([_Eye(tower, trunk, self.looks) for tower, trunk in pairs])
        self.head = module.head
        self.temperature = predictor.temperature
        self.eval()

    def forward(self, *squares: torch.Tensor) -> torch.Tensor:
        """(B, S, S, 3) uint8 of each look to probabilities (B, C) float32."""
        features = torch.cat([eye(squares) for eye in self.eyes], dim=1)  # (B, ΣD)
        return functional.softmax(self.head(features) / self.temperature, dim=1)


class TorchAnswerer:
    """Squares to probabilities by eager torch.

    Attributes:
        looks: of the squares.
    """

    def __init__(self, predictor: Predictor, threads: int) -> None:
        torch.set_num_threads(threads)
        self._module = WholePredictor(predictor).to(memory_format=torch.channels_last)
        self.looks = self._module.looks

    def __call__(self, squares: Sequence[np.ndarray]) -> np.ndarray:
        """(B, S, S, 3) uint8 of each look to probabilities (B, C) float32."""
        with torch.inference_mode():
            found: np.ndarray = self._module(*map(torch.from_numpy, squares)).numpy()
        return found


class _Eye(nn.Module):
    """One tower: its views of the squares to the mean of what it makes of them."""

    def __init__(self, tower: TowerInput, trunk: Any, looks: Sequence[Look]) -> None:
        super().__init__()
        self.trunk = trunk
        self.places = [looks.index(Look.of(view)) for view in tower.each_view()]
        for name in ("mean", "std"):
            value = torch.tensor(getattr(tower.preprocessing, name)).reshape(1, 3, 1, 1)
            self.register_buffer(name, value)

    def forward(self, squares: Sequence[torch.Tensor]) -> torch.Tensor:
        seen = torch.cat([squares[place] for place in self.places])  # (V·B, S, S, 3)
        pixels = seen.permute(0, 3, 1, 2).float() / 255.0  # (V·B, 3, S, S)
        pixels = (pixels - self.get_buffer("mean")) / self.get_buffer("std")
        features = pooled(self.trunk, pixels)  # (V·B, D)
        return features.reshape(len(self.places), -1, features.shape[-1]).mean(dim=0)  # (B, D)
