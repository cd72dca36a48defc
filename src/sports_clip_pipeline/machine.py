"""CPU cores, process memory, worker processes, and rank under torchrun."""

import atexit
import ctypes
import gc
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from multiprocessing.context import BaseContext
from threading import Thread
from typing import Any, TypeVar

from sports_clip_pipeline.errors import WorkerDone

Item = TypeVar("Item")


def cores() -> int:
    """Processor cores that this process may use, at least 1."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def command_output(*command: str) -> str | None:
    """What a command prints; None if it fails, hangs or is not installed."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def gpu_names() -> str:
    """The NVIDIA GPUs of this machine by name, separated by commas; empty where there is none."""
    listed = command_output("nvidia-smi", "--query-gpu=name", "--format=csv,noheader")
    return ", ".join((listed or "").splitlines())


def worker_context(preloaded: Sequence[str]) -> BaseContext:
    """A multiprocessing context whose workers share the memory of imported modules.

    On Linux workers are forked from a server without threads that imported `preloaded` once;
    elsewhere, where forking is not safe, they are spawned.

    Args:
        preloaded: modules by name; those of the first call hold for the life of this process.
    """
    if sys.platform != "linux":
        return get_context("spawn")
    context = get_context("forkserver")
    context.set_forkserver_preload(list(preloaded))
    return context


@contextmanager
def worker_processes(
    count: int, set_up: Callable[..., None], *arguments: Any, context: BaseContext | None = None
) -> Iterator[ProcessPoolExecutor]:
    """A pool of processes; an error in the block cancels what they have not begun.

    Args:
        set_up: called with the arguments in each process first.
        context: starts the processes, such as `worker_context`; they are spawned by default.
    """
    context = context or get_context("spawn")
    with ProcessPoolExecutor(count, context, set_up, arguments) as executor:
        try:
            yield executor
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)
            raise


def skip_gc_at_exit() -> None:
    """Skip garbage collection at exit, which takes seconds over PyTorch's and MLflow's objects."""
    atexit.register(gc.freeze)


def exit_with_parent() -> None:
    """In a worker process: exit when the parent process dies.

    A pool's workers wait on a queue that each of them holds open, so they would outlive a parent
    that was killed.
    """
    parent = parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    Thread(target=watch, name="exit-with-parent", daemon=True).start()


def retain_freed_memory() -> bool:
    """Let glibc's allocator retain freed memory, so that each training step reuses it.

    Activations of a step are gigabytes that the kernel would fill with zeros again; on two cores
    a small convolutional encoder trains 1.5 times as fast. Without glibc nothing happens.

    Returns: whether the allocator took both settings (M_MMAP_MAX = 0, M_TRIM_THRESHOLD).
    Source: mallopt(3).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(-4, 0) and mallopt(-1, 2**31 - 1))


def trim_memory() -> None:
    """Return freed memory to the system where glibc retains it. Source: malloc_trim(3)."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def rank_and_world_size() -> tuple[int, int] | None:
    """Rank and number of the processes under torchrun; None for a single process."""
    if int(os.environ.get("WORLD_SIZE", "1")) < 2 or "RANK" not in os.environ:
        return None
    return int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])


def is_main_process() -> bool:
    """Whether this process writes results: it is the only one, or has rank 0."""
    group = rank_and_world_size()
    return group is None or group[0] == 0


def barrier() -> None:
    """Wait for all processes of torchrun; a single process goes on."""
    if rank_and_world_size() is None:
        return
    from datetime import timedelta

    from torch import distributed

    if not distributed.is_initialized():
        distributed.init_process_group("gloo", timeout=timedelta(days=7))
    distributed.barrier()


def own_shard(items: Sequence[Item]) -> Sequence[Item]:
    """Shard of the items for this process; all shards are disjoint and complete."""
    rank, count = rank_and_world_size() or (0, 1)
    return items[rank::count]


def cores_per_process(cores: int) -> int:
    """The share of a machine's cores that each of its processes has, at least 1."""
    return max(1, cores // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def set_cuda_device() -> None:
    """Under torchrun, select the CUDA device of this process's local rank.

    Devices are reused where there are fewer than processes; NCCL refuses that by itself.
    """
    if rank_and_world_size() is None:
        return
    import torch

    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())


def exit_unless_main_process(work: str) -> None:
    """Raises: WorkerDone: this is not the main process, which goes on alone."""
    if not is_main_process():
        rank, count = rank_and_world_size() or (0, 1)
        raise WorkerDone(f"process {rank} of {count} has done its part of {work}")
