"""The exponential moving average of what learns: less of the last batches' noise in the end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

_AVERAGE = "average."


class MovingAverage:
    """Averages of entries of a model's state dict; of whole numbers, the last ones.

    After step t (the first one is 0) an average is d · average + (1 − d) · entry, where d is the
    decay, or (1 + t) / (10 + t) where that is less: the first steps forget the start sooner.

    Args:
        names: of the entries.
        decay: in [0, 1); 0 averages nothing, and the entries stand as they are.
    Source: the moving averages of TensorFlow, `tf.train.ExponentialMovingAverage`.
    """

    def __init__(self, model: nn.Module, names: Sequence[str], decay: float) -> None:
        state = model.state_dict()  # its tensors are the model's own
        self._entries = {name: state[name] for name in names} if decay else {}
        self._averages = {name: value.clone() for name, value in self._entries.items()}
        self._decay = decay

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in what step number `step` has made of the entries."""
        fractions = [name for name, value in self._entries.items() if value.is_floating_point()]
        if fractions:
            decay = min(self._decay, (1 + step) / (10 + step))
            averages = [self._averages[name] for name in fractions]
            get_ema_multi_avg_fn(decay)(averages, [self._entries[name] for name in fractions], step)
        for name in self._entries.keys() - set(fractions):
            self._averages[name].copy_(self._entries[name])

    @contextmanager
    def used(self) -> Iterator[None]:
        """The model with the averages for a block, and with its own entries after it."""
        own = {name: value.clone() for name, value in self._entries.items()}
        self._put(self._averages)
        try:
            yield
        finally:
            self._put(own)

    def arrays(self) -> dict[str, np.ndarray]:
        """The averages by `average.<name>`."""
        kept = {f"{_AVERAGE}{name}": value for name, value in self._averages.items()}
        return {name: value.cpu().contiguous().clone().numpy() for name, value in kept.items()}

    @torch.no_grad()
    def take(self, arrays: Mapping[str, np.ndarray]) -> None:
        """The inverse of `arrays`, in place; other names are left alone."""
        for name, average in self._averages.items():
            average.copy_(torch.from_numpy(arrays[f"{_AVERAGE}{name}"]))

    @torch.no_grad()
    def _put(self, values: Mapping[str, torch.Tensor]) -> None:
        for name, entry in self._entries.items():
            entry.copy_(values[name])
