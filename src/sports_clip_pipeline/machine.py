"""CPU cores, memory, and the processes that torchrun started."""

from __future__ import annotations

import atexit
import ctypes
import gc
import os
import sys
from collections.abc import Sequence
from multiprocessing import get_context, parent_process
from multiprocessing.context import BaseContext
from threading import Thread
from typing import TypeVar

from sports_clip_pipeline.errors import PartDone


def cores() -> int:
    """Processor cores that this process may use, at least 1."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def sharing_workers(preloaded: Sequence[str]) -> BaseContext:
    """A multiprocessing context whose processes share the memory of what they import.

    On Linux they are forked from a server that imported those modules once: several hundred
    megabytes of PyTorch and SciPy stand in memory once, not once for each worker. The server runs
    no thread of its own. Elsewhere, where forking is not safe, they are spawned.

    Args:
        preloaded: modules by name; those of the first call hold for the life of this process.
    """
    if sys.platform != "linux":
        return get_context("spawn")
    context = get_context("forkserver")
    context.set_forkserver_preload(list(preloaded))
    return context


def end_without_sweep() -> None:
    """When this process ends, do not look through all that it holds for what nobody uses.

    The system takes it back anyway; with PyTorch and MLflow imported that look takes seconds.
    """
    atexit.register(gc.freeze)


def end_with_parent() -> None:
    """In a worker process: end as soon as the process that started it is gone.

    A pool's workers wait on a queue that each of them holds open, so without this they would wait
    for ever after their parent was killed. In a process that nobody started it does nothing.
    """
    parent = parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    Thread(target=watch, name="end-with-parent", daemon=True).start()


def keep_freed_memory() -> bool:
    """Let glibc's allocator keep what is freed, instead of giving it back and asking again.

    A step of training frees gigabytes of activations that the next step wants at once; each time
    they come back as pages that the kernel fills with zeros. On two cores a small convolutional
    tower trains half as fast again without that. Elsewhere than on glibc nothing happens.

    Returns: whether the allocator took both settings (M_MMAP_MAX = 0, M_TRIM_THRESHOLD).
    Source: mallopt(3).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    no_mapped_blocks, never_trimmed = mallopt(-4, 0), mallopt(-1, 2**31 - 1)
    return bool(no_mapped_blocks and never_trimmed)


def give_back_freed_memory() -> None:
    """Let glibc's allocator give freed memory back to the system, where it keeps it in reserve.

    What a node of the pipeline has freed would else count against the memory of all that follow.
    Source: malloc_trim(3).
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


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
