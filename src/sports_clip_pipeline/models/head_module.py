"""The torch form of a head, for gradients through it."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from sports_clip_pipeline.models.head import Head


class HeadModule(nn.Module):
    """A head's operations on tensors; agrees with its NumPy form to float32 precision."""

    def __init__(self, head: Head) -> None:
        super().__init__()
        self.kinds = head.describe()
        for name, value in head.to_arrays().items():
            self.register_buffer(name.replace(".", "_"), torch.tensor(value))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(N, D) to (N, C)."""
        values = features
        for position, kind in enumerate(self.kinds):
            values = self._operate(position, kind, values)
        return values

    def _operate(self, position: int, kind: str, values: torch.Tensor) -> torch.Tensor:
        if kind == "affine":
            return functional.linear(
                values, self._array(position, "weight"), self._array(position, "bias")
            )
        if kind == "standardise":
            return (values - self._array(position, "mean")) / self._array(position, "scale")
        if kind == "power":
            # The derivative of |x|^p at 0 is infinite for p < 1; the small floor keeps it finite.
            magnitude = values.abs().clamp_min(1e-6)
            return values.sign() * magnitude ** self._array(position, "exponent")
        if kind == "relu":
            return functional.relu(values)
        return functional.normalize(values, dim=1)

    def _array(self, position: int, name: str) -> torch.Tensor:
        return self.get_buffer(f"{position}_{name}")
