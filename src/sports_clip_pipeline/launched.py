"""The processes that a launcher started to work together, on one machine or on several.

torchrun tells each process its rank and their number by the environment. A process that nobody told
stands alone, and all of this does nothing then.

Source: the environment variables in PyTorch's documentation of torchrun.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypeVar

from sports_clip_pipeline.errors import PartDone

Item = TypeVar("Item")


def launched() -> tuple[int, int] | None:
    """Rank and number of the processes that a launcher started (torchrun, srun through it).

    None for a process that stands alone.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2 or "RANK" not in os.environ:
        return None
    return int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])


def leads() -> bool:
    """Whether this process keeps the record and the results: it stands alone, or is the first."""
    group = launched()
    return group is None or group[0] == 0


def meet_others() -> None:
    """Wait until all processes that the launcher started have come here; alone, do nothing."""
    if launched() is None:
        return
    from datetime import timedelta

    from torch import distributed

    if not distributed.is_initialized():
        distributed.init_process_group("gloo", timeout=timedelta(days=7))
    distributed.barrier()


def own_part(items: Sequence[Item]) -> Sequence[Item]:
    """Those of the items that are this process's; all of them where it stands alone.

    The parts of all processes are disjoint, and together they are the items.
    """
    rank, count = launched() or (0, 1)
    return items[rank::count]


def own_cores(cores: int) -> int:
    """The share of a machine's cores that each of its processes has, at least 1."""
    return max(1, cores // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def take_own_device() -> None:
    """Use the CUDA device of this process, where a launcher started several on one machine.

    Where a machine has fewer devices than processes, or shows each process its own alone, they go
    round; NCCL refuses two processes on one device by itself.
    """
    if launched() is None:
        return
    import torch

    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())


def end_unless_leading(work: str) -> None:
    """Raises: PartDone: this is not the first of the launched processes, which goes on alone."""
    if not leads():
        rank, count = launched() or (0, 1)
        raise PartDone(f"process {rank} of {count} has done its part of {work}")
