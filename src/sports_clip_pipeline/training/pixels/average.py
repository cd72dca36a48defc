"""An exponential moving average of a model's moving entries."""

from __future__ import annotations

import torch
from torch import nn


def moving_entries(model: nn.Module) -> dict[str, torch.Tensor]:
    """Trained parameters and buffers of the state dict, by name; frozen parameters are left out."""
    frozen = {name for name, value in model.named_parameters() if not value.requires_grad}
    state = model.state_dict(keep_vars=False)
    return {name: value for name, value in state.items() if name not in frozen}


class MovingAverage:
    """Averages of entries that follow the model, faster in the first steps.

    After step t (from 1) each average is decay · average + (1 − decay) · entry, with a decay of
    min(decay, (1 + t) / (10 + t)); whole numbers are copied.

    Source: Szegedy et al. 2016, section 8; the early decay is TensorFlow's
    `ExponentialMovingAverage` with `num_updates`.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.entries = {name: value.clone() for name, value in moving_entries(model).items()}

    def update(self, model: nn.Module, step: int) -> None:
        """Follow the model after its step number `step`, from 1."""
        decay = min(self.decay, (1.0 + step) / (10.0 + step))
        with torch.no_grad():
            for name, value in moving_entries(model).items():
                if value.is_floating_point():
                    self.entries[name].lerp_(value, 1.0 - decay)
                else:
                    self.entries[name].copy_(value)
