"""The processes that train together: who has which part of a batch, and all embeddings for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import distributed, nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel


class _Gathered(torch.autograd.Function):
    """`all_gather` whose gradient is the sum of what all processes send back."""

    @staticmethod
    def forward(ctx: Any, rows: torch.Tensor, rank: int, count: int) -> tuple[torch.Tensor, ...]:
        ctx.rank = rank
        parts = [torch.empty_like(rows) for _ in range(count)]
        distributed.all_gather(parts, rows)
        return tuple(parts)

    @staticmethod
    def backward(ctx: Any, *slopes: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        summed = torch.stack(slopes)
        distributed.all_reduce(summed)
        return summed[ctx.rank], None, None


@dataclass(frozen=True)
class Group:
    """One of `count` processes; one alone needs no `torch.distributed`.

    Every process draws the same batches from the same seed and works on its own part of each; the
    parts are disjoint and together the batch.

    Attributes:
        rank: in [0, count); the first one evaluates and keeps the state. count: processes.
    """

    rank: int = 0
    count: int = 1

    @property
    def leads(self) -> bool:
        """Whether this is the process that evaluates, logs and keeps the state."""
        return self.rank == 0

    def part(self, batch: int) -> np.ndarray:
        """Positions in a batch of so many images that are this process's, in order."""
        return np.array_split(np.arange(batch), self.count)[self.rank]

    def gathered(self, rows: torch.Tensor, sizes: Sequence[int]) -> torch.Tensor:
        """The rows of all processes, in their order; gradients find their way back to each.

        Args:
            rows: (sizes[rank], D) of this process. sizes: rows of each process.
        """
        if self.count == 1:
            return rows
        padded = functional.pad(rows, (0, 0, 0, max(sizes) - len(rows)))
        parts = _Gathered.apply(padded.contiguous(), self.rank, self.count)
        return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])

    def any(self, asked: bool, device: str) -> bool:
        """Whether any process asks; all of them hear the same answer."""
        if self.count == 1:
            return asked
        flag = torch.tensor(float(asked), device=device)
        distributed.all_reduce(flag, distributed.ReduceOp.MAX)
        return bool(flag.item())

    def told(self, value: float | None, device: str) -> float | None:
        """What the first process says, to all of them; None where it says nothing."""
        if self.count == 1:
            return value
        said = torch.tensor(float("nan") if value is None else value, device=device).double()
        distributed.broadcast(said, src=0)
        return None if bool(said.isnan()) else float(said)

    def wrapped(self, module: nn.Module) -> Any:
        """The module, its gradients averaged over all processes where there are several.

        The loss of every process is that of the whole batch, and `gathered` adds up what all of
        them send back, so the average is the gradient of the whole batch. Statistics of batch norms
        are those of each process's part; the first one's are kept.
        """
        if self.count == 1:
            return module
        return DistributedDataParallel(module, forward_sync_buffers=False)
