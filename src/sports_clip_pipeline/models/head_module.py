"""The torch form of a head, for gradients through it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from sports_clip_pipeline.models.head import LAYER_NORM_EPSILON, Head


class HeadModule(nn.Module):
    """A head's operations on tensors; agrees with its NumPy form to float32 precision."""

    def __init__(self, head: Head) -> None:
        super().__init__()
        self.kinds = [operation.kind for operation in head.operations]
        for position, operation in enumerate(head.operations):
            for name, value in operation.arrays.items():
                self.register_buffer(f"{position}_{name}", torch.as_tensor(value).float().clone())
        # Shapes follow from these, so an export wants them as numbers rather than as tensors.
        self.whole = {
            f"{position}_{name}": [int(number) for number in np.atleast_1d(value)]
            for position, operation in enumerate(head.operations)
            for name, value in operation.arrays.items()
            if name in ("widths", "start", "stop")
        }
        self.branches = nn.ModuleDict(
            {
                str(position): nn.ModuleList([HeadModule(branch) for branch in operation.branches])
                for position, operation in enumerate(head.operations)
                if operation.branches
            }
        )

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(N, D) to (N, C)."""
        values = features
        for position, kind in enumerate(self.kinds):
            values = getattr(self, f"_{kind}")(position, values)
        return values

    def _array(self, position: int, name: str) -> torch.Tensor:
        return self.get_buffer(f"{position}_{name}")

    def _affine(self, position: int, values: torch.Tensor) -> torch.Tensor:
        return functional.linear(
            values, self._array(position, "weight"), self._array(position, "bias")
        )

    def _standardise(self, position: int, values: torch.Tensor) -> torch.Tensor:
        return (values - self._array(position, "mean")) / self._array(position, "scale")

    def _power(self, position: int, values: torch.Tensor) -> torch.Tensor:
        # The derivative of |x|^p at 0 is infinite for p < 1; the small floor keeps it finite.
        magnitude = values.abs().clamp_min(1e-6)
        return values.sign() * magnitude ** self._array(position, "exponent")

    def _l2_normalise(self, position: int, values: torch.Tensor) -> torch.Tensor:
        return functional.normalize(values, dim=1)

    def _blocks_l2_normalise(self, position: int, values: torch.Tensor) -> torch.Tensor:
        widths = self.whole[f"{position}_widths"]
        blocks = [functional.normalize(block, dim=1) for block in values.split(widths, dim=1)]
        return torch.cat(blocks, dim=1) / len(widths) ** 0.5

    def _columns(self, position: int, values: torch.Tensor) -> torch.Tensor:
        (start,), (stop,) = (self.whole[f"{position}_{name}"] for name in ("start", "stop"))
        return values[:, start:stop]

    def _relu(self, position: int, values: torch.Tensor) -> torch.Tensor:
        return functional.relu(values)

    def _gelu(self, position: int, values: torch.Tensor) -> torch.Tensor:
        return functional.gelu(values)

    def _layer_norm(self, position: int, values: torch.Tensor) -> torch.Tensor:
        return functional.layer_norm(values, values.shape[1:], eps=LAYER_NORM_EPSILON)

    def _scale(self, position: int, values: torch.Tensor) -> torch.Tensor:
        return values * self._array(position, "factor")

    def _softmax(self, position: int, values: torch.Tensor) -> torch.Tensor:
        return functional.softmax(values / self._array(position, "temperature"), dim=1)

    def _affinity(self, position: int, values: torch.Tensor) -> torch.Tensor:
        return torch.exp(-self._array(position, "sharpness") * (1.0 - values))

    def _sum(self, position: int, values: torch.Tensor) -> torch.Tensor:
        branches: Any = self.branches[str(position)]
        return torch.stack([branch(values) for branch in branches]).sum(dim=0)
