"""A network with its weights shuffled from the head downwards, and put back afterwards.

Adebayo et al. 2018 (Sanity Checks for Saliency Maps, section 3): a map that explains what a network
has learned must change when that is destroyed. Each tensor keeps its values in a random order, so
that what flows through stays of its natural size in any architecture; batch norms among what was
shuffled take their statistics from a few photographs anew, since a shuffled layer has others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

HEAD = "head"
Part = Sequence[torch.Tensor]
Statistics = tuple[torch.Tensor, ...]


class Randomised:
    """Levels of destruction of one network.

    Attributes:
        levels: `head`, then `head and 1/3`, … : the head with the uppermost stages.
    """

    def __init__(
        self,
        module: nn.Module,
        head: Part,
        stages: Sequence[Part],
        levels: int,
        photographs: torch.Tensor,
        seed: int,
    ) -> None:
        """The network, its parts, and what its batch norms are fitted on.

        Args:
            module: pixels to scores. head: weights above the image tower.
            stages: of the image tower, the first one first.
            levels: into how many the stages are gathered; no more than there are stages.
            photographs: (B, 3, H, W) pixels.
            seed: of the shuffling.
        """
        self._module, self._photographs, self._seed = module, photographs, seed
        gathered = np.array_split(np.arange(len(stages))[::-1], min(levels, len(stages)))
        self._parts = [list(head), *([t for i in part for t in stages[i]] for part in gathered)]
        count = len(gathered)
        self.levels = (HEAD, *(f"head and {n + 1}/{count} of the tower" for n in range(count)))
        self._statistics: dict[str, list[Statistics]] = {}

    @contextmanager
    def at(self, level: str) -> Iterator[None]:
        """The network with everything down to `level` shuffled; as before on the way out."""
        depth = self.levels.index(level) + 1
        tensors = [tensor for part in self._parts[:depth] for tensor in part]
        norms = _norms_of(self._module, tensors)
        kept = [tensor.data for tensor in tensors]
        statistics = [_statistics_of(norm) for norm in norms]
        try:
            for place, tensor in enumerate(tensors):
                tensor.data = _shuffled(tensor.data, [self._seed, place])
            self._refit(level, norms)
            yield
        finally:
            _put_back(norms, statistics)
            for tensor, values in zip(tensors, kept, strict=True):
                tensor.data = values

    def _refit(self, level: str, norms: Sequence[Any]) -> None:
        """Statistics of the shuffled batch norms, found once for each level."""
        if not norms:
            return
        if level not in self._statistics:
            momenta = [norm.momentum for norm in norms]
            try:
                for norm in norms:
                    norm.reset_running_stats()
                    norm.momentum = None  # the plain mean over batches
                    norm.train()
                with torch.no_grad():
                    self._module(self._photographs)
            finally:
                for norm, momentum in zip(norms, momenta, strict=True):
                    norm.momentum = momentum
                    norm.eval()
            self._statistics[level] = [_statistics_of(norm) for norm in norms]
        _put_back(norms, self._statistics[level])


def _shuffled(values: torch.Tensor, seed: list[int]) -> torch.Tensor:
    """The same values in a random order, the same shape and memory format."""
    order = np.random.default_rng(seed).permutation(values.numel())
    mixed = values.reshape(-1)[torch.from_numpy(order)].reshape(values.shape)
    if values.ndim == 4 and values.is_contiguous(memory_format=torch.channels_last):
        return mixed.contiguous(memory_format=torch.channels_last)
    return mixed


def _norms_of(module: nn.Module, tensors: Part) -> list[Any]:
    """Batch norms with statistics whose weights are among `tensors`."""
    shuffled = {id(tensor) for tensor in tensors}
    return [
        part
        for part in module.modules()
        if isinstance(part, _BatchNorm)
        and part.running_mean is not None
        and id(part.weight) in shuffled
    ]


def _statistics_of(norm: Any) -> Statistics:
    return tuple(buffer.clone() for buffer in norm.buffers())


def _put_back(norms: Sequence[Any], statistics: Sequence[Statistics]) -> None:
    for norm, values in zip(norms, statistics, strict=True):
        for buffer, value in zip(norm.buffers(), values, strict=True):
            buffer.copy_(value)
