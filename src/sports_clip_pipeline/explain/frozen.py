"""A network held still while it is explained, and exactly as before afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def frozen(module: nn.Module) -> Iterator[nn.Module]:
    """Evaluation mode, no gradients for weights, autograd on; all restored on the way out.

    Batch statistics stay fixed, and a backward pass leaves nothing in the weights' `.grad`.
    """
    training = {part: part.training for part in module.modules()}
    learnable = {weight: weight.requires_grad for weight in module.parameters()}
    try:
        module.eval()
        module.requires_grad_(False)
        with torch.enable_grad():
            yield module
    finally:
        for part, mode in training.items():
            part.training = mode
        for weight, wanted in learnable.items():
            weight.requires_grad_(wanted)
