"""Devices, mixed precision, distributed data-parallel training (DDP) and deferred signals."""

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch import distributed, nn
from torch.distributed.nn.functional import all_gather
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from sports_clip_pipeline import machine
from sports_clip_pipeline.errors import UserFacingError

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Compute:
    """Device (`cpu` or `cuda`), precision of the encoders, and whether torch.compile is used.

    Weights, moments and the loss are fp32 in every precision (`fp32`, `bf16`, `fp16`).
    """

    device: str
    precision: str
    compiled: bool = False

    def autocast(self) -> AbstractContextManager[None]:
        """Autocast to this precision."""
        dtype = _DTYPES.get(self.precision)
        return torch.autocast(self.device, dtype=dtype, enabled=dtype is not None)

    def scaler(self) -> torch.amp.GradScaler:
        """Loss scaling of fp16; disabled for other precisions."""
        return torch.amp.GradScaler(self.device, enabled=self.precision == "fp16")


CPU = Compute("cpu", "fp32")


def choose_compute(device: str, precision: str, compiled: str = "auto") -> Compute:
    """Resolve `auto` for this machine.

    `auto` is CUDA if available; there, bf16 if supported natively, else fp16, compiled (`auto`,
    `on` or `off`). On the CPU it is fp32, not compiled.

    Raises: UserFacingError: `cuda` without a CUDA device.
    """
    has_cuda = torch.cuda.is_available()
    if device == "cuda" and not has_cuda:
        raise UserFacingError(
            "parameter pretrain.device",
            "wanted cuda, and PyTorch finds no CUDA device here",
            "use auto or cpu, or install CUDA wheels with `make install TORCH=cu130`",
        )
    on_cuda = has_cuda and device != "cpu"
    if precision == "auto" and on_cuda:
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        precision = "bf16" if native else "fp16"
    elif precision == "auto":
        precision = "fp32"
    compiles = compiled == "on" or (compiled == "auto" and on_cuda)
    return Compute("cuda" if on_cuda else "cpu", precision, compiles)


@dataclass(frozen=True)
class Processes:
    """Process group of data-parallel training, as seen by one process.

    Every process draws the same batches from the same seed and computes its own shard of each.
    """

    rank: int = 0
    world_size: int = 1

    @property
    def is_main_process(self) -> bool:
        """Whether this process evaluates, logs and saves checkpoints."""
        return self.rank == 0

    def shards(self, batch: int) -> list[np.ndarray]:
        """Partition of range(batch): the positions of each process."""
        return np.array_split(np.arange(batch), self.world_size)

    def shard(self, batch: int) -> np.ndarray:
        """Positions of this process."""
        return self.shards(batch)[self.rank]

    def gather(self, rows: torch.Tensor, sizes: Sequence[int]) -> torch.Tensor:
        """Rows of all processes in the order of ranks, with gradients to each (all_gather).

        Args:
            rows: (sizes[rank], D) of this process. sizes: number of rows of each process.
        """
        if self.world_size == 1:
            return rows
        padded = functional.pad(rows, (0, 0, 0, max(sizes) - len(rows)))
        shards = all_gather(padded)
        return torch.cat([shard[:size] for shard, size in zip(shards, sizes, strict=True)])

    def any(self, flag: bool, device: str) -> bool:
        """Whether the flag is set in any process (all_reduce)."""
        if self.world_size == 1:
            return flag
        flags = torch.tensor(float(flag), device=device)
        distributed.all_reduce(flags, distributed.ReduceOp.MAX)
        return bool(flags.item())

    def broadcast(self, value: Any) -> Any:
        """The main process's value, in all processes."""
        values = [value]
        if self.world_size > 1:
            distributed.broadcast_object_list(values, src=0)
        return values[0]

    def wrap(self, module: nn.Module) -> Any:
        """The module under DistributedDataParallel where there are several processes.

        Every process computes the loss of the whole batch, and `gather` sums the gradients that
        all of them send back, so DDP's mean is the gradient of the whole batch. Batch norms see
        each process's shard; the main process's running statistics are saved.
        """
        if self.world_size == 1:
            return module
        return DistributedDataParallel(module, forward_sync_buffers=False)


SINGLE_PROCESS = Processes()


@contextmanager
def process_group(device: str, batch_size: int) -> Iterator[Processes]:
    """Process group of the processes that torchrun started; a single process otherwise.

    On CUDA each process of a machine uses a device of its own (NCCL), on CPUs its share of the
    cores (gloo).

    Raises: UserFacingError: more processes than images of a step (`batch_size`).
    """
    launch = machine.rank_and_world_size()
    if launch is None:
        yield SINGLE_PROCESS
        return
    if launch[1] > batch_size:
        raise UserFacingError(
            "torchrun",
            f"started {launch[1]} processes for steps of {batch_size} images",
            "use fewer, or larger batches",
        )
    torch.set_num_threads(machine.cores_per_process(machine.cores()))
    if device == "cuda":
        machine.set_cuda_device()
    distributed.init_process_group("nccl" if device == "cuda" else "gloo")
    try:
        yield Processes(*launch)
    finally:
        distributed.destroy_process_group()


@contextmanager
def deferred_signals() -> Iterator[list[int]]:
    """Defer SIGTERM and SIGINT to the end of the block; has no effect outside the main thread.

    Yields the numbers of the deferred signals; a second signal acts at once.

    Raises: KeyboardInterrupt, SystemExit (128 + signal), or what the old handler raises: after a
        block in which a signal came.
    """
    received: list[int] = []
    handlers: dict[int, Any] = {}

    def restore() -> None:
        for number, handler in handlers.items():
            signal.signal(number, handler)

    def receive(number: int, frame: FrameType | None) -> None:
        if received:
            restore()
            signal.raise_signal(number)
        received.append(number)

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            handlers[number] = signal.signal(number, receive)
    try:
        yield received
    finally:
        restore()
    if received:
        if callable(handlers[received[0]]):
            signal.raise_signal(received[0])
        raise SystemExit(128 + received[0])
