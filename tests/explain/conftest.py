"""Tiny networks with hand-worked explanations."""

import gc
from collections.abc import Callable

import pytest
import torch
from torch import nn


class PooledLinear(nn.Module):
    """Pixels -> 1×1 convolution `maps` -> mean over positions -> linear `head`."""

    def __init__(self, kernels: list[list[float]], head: list[list[float]]) -> None:
        super().__init__()
        self.maps = nn.Conv2d(3, len(kernels), 1, bias=False)
        self.head = nn.Linear(len(kernels), len(head), bias=False)
        self.unused = nn.Conv2d(3, 1, 1)
        with torch.no_grad():
            self.maps.weight.copy_(torch.tensor(kernels)[:, :, None, None])
            self.head.weight.copy_(torch.tensor(head))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.head(self.maps(pixels).mean(dim=(2, 3)))


@pytest.fixture
def red_not_green() -> PooledLinear:
    """Score 0 is red minus twice green, score 1 the reverse, score 2 is constant."""
    kernels = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    return PooledLinear(kernels, [[1.0, -2.0], [-1.0, 2.0], [0.0, 0.0]])


@pytest.fixture
def pixels() -> torch.Tensor:
    """(1, 3, 2, 2): red 4, 1, 3, 0; green 0, 0, 1, 2; no blue."""
    red, green = [[4.0, 1.0], [3.0, 0.0]], [[0.0, 0.0], [1.0, 2.0]]
    return torch.tensor([[red, green, [[0.0, 0.0], [0.0, 0.0]]]])


@pytest.fixture(scope="session")
def lite0() -> nn.Module:
    """The packaged image encoder with its ImageNet head."""
    from sports_clip_pipeline.encoders.image_encoders import load_image_encoder

    return load_image_encoder("lite0")


@pytest.fixture
def living_tensors() -> Callable[[], tuple[int, int]]:
    """Counts the tensors that exist right now, and their bytes."""

    def count() -> tuple[int, int]:
        gc.collect()
        # By exact type: `isinstance` makes lazy modules warn, and fake tensors have no bytes.
        types = torch.Tensor, torch.nn.Parameter
        living = [thing for thing in gc.get_objects() if type(thing) in types]
        return len(living), sum(tensor.nbytes for tensor in living)

    return count
