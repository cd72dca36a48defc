"""Distributed data-parallel training: shards of a batch, all_gather with gradients, broadcast."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import distributed, nn
from torch.distributed.nn.functional import all_gather
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.machine import (
    cores,
    cores_per_process,
    rank_and_world_size,
    set_cuda_device,
)


@dataclass(frozen=True)
class Processes:
    """The processes that train together, as one of them sees them; one alone needs no group.

    Every process draws the same batches from the same seed and works on its own shard of each.

    Attributes:
        rank: of this process, in [0, world_size).
    """

    rank: int = 0
    world_size: int = 1

    @property
    def is_main_process(self) -> bool:
        """Whether this is the process that evaluates, logs and saves checkpoints."""
        return self.rank == 0

    def shards(self, batch: int) -> list[np.ndarray]:
        """Positions in a batch of so many images for each process: disjoint, together the batch."""
        return np.array_split(np.arange(batch), self.world_size)

    def shard(self, batch: int) -> np.ndarray:
        """Positions in a batch of so many images that are this process's, in order."""
        return self.shards(batch)[self.rank]

    def gather(self, rows: torch.Tensor, sizes: Sequence[int]) -> torch.Tensor:
        """The rows of all processes, in the order of ranks; gradients find their way back to each.

        Args:
            rows: (sizes[rank], D) of this process. sizes: rows of each process.
        """
        if self.world_size == 1:
            return rows
        padded = functional.pad(rows, (0, 0, 0, max(sizes) - len(rows)))
        shards = all_gather(padded)
        return torch.cat([shard[:size] for shard, size in zip(shards, sizes, strict=True)])

    def any(self, flag: bool, device: str) -> bool:
        """Whether the flag is set in any process; all of them get the same answer."""
        if self.world_size == 1:
            return flag
        flags = torch.tensor(float(flag), device=device)
        distributed.all_reduce(flags, distributed.ReduceOp.MAX)
        return bool(flags.item())

    def broadcast(self, value: float | None, device: str) -> float | None:
        """The main process's value, in all processes; None where it has none."""
        if self.world_size == 1:
            return value
        number = float("nan") if value is None else value
        sent = torch.tensor(number, dtype=torch.float64, device=device)
        distributed.broadcast(sent, src=0)
        return None if bool(sent.isnan()) else float(sent)

    def wrap(self, module: nn.Module) -> Any:
        """The module under DistributedDataParallel where there are several processes.

        The loss of every process is that of the whole batch, and `gather` adds up the gradients
        that all of them send back, so DDP's average is the gradient of the whole batch. Batch norms
        see each process's shard; the statistics of the main process are saved.
        """
        if self.world_size == 1:
            return module
        return DistributedDataParallel(module, forward_sync_buffers=False)


ALONE = Processes()


@contextmanager
def process_group(device: str, batch_size: int) -> Iterator[Processes]:
    """The processes that torchrun started, in a process group; one alone otherwise.

    On CUDA each process of a machine takes a device of its own (NCCL); on CPUs each has its share
    of the cores (gloo).

    Args:
        batch_size: images of a step; there is at most one process for each.
    Raises: UserFacingError: there are more processes.
    """
    launch = rank_and_world_size()
    if launch is None:
        yield ALONE
        return
    if launch[1] > batch_size:
        raise UserFacingError(
            "torchrun",
            f"started {launch[1]} processes for steps of {batch_size} images",
            "use fewer, or larger batches",
        )
    torch.set_num_threads(cores_per_process(cores()))
    if device == "cuda":
        set_cuda_device()
    distributed.init_process_group("nccl" if device == "cuda" else "gloo")
    try:
        yield Processes(*launch)
    finally:
        distributed.destroy_process_group()
