"""Training through the towers in several processes, by torch's elastic launcher.

The node starts those of this machine itself (`train_in_processes`): they find each other by files
and speak over the loopback device, so no port is opened to the network. Processes that torchrun
started, on one machine or on several, come with their group (`train_as_part`). In both cases the
first one keeps the state in the node's journal, and it is read back as it would be after a kill.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import uuid
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any

import torch
from torch import distributed
from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.journal import DiskJournal, FollowingJournal, Journal
from sports_clip_pipeline.launched import (
    end_unless_leading,
    launched,
    own_cores,
    take_own_device,
)
from sports_clip_pipeline.machine import cores, end_with_parent
from sports_clip_pipeline.models.clip_model import build_clip
from sports_clip_pipeline.models.projections import Projections
from sports_clip_pipeline.pipelines.pretrain.config import PretrainConfig
from sports_clip_pipeline.preprocessing.images import ImagePreprocessing
from sports_clip_pipeline.training.unlocked.group import Group
from sports_clip_pipeline.training.unlocked.pairs import TowerPairs
from sports_clip_pipeline.training.unlocked.precision import Compute
from sports_clip_pipeline.training.unlocked.run import Judge, train_towers

_AGAIN = "run it again: it goes on from the last saved step"


@dataclass(frozen=True)
class TowerTask:
    """All that `train_towers` takes, in a form that can be sent to a process.

    Attributes:
        projections: to start from. recipe: of `build_clip`, but for those.
        train, validation: pairs of the two splits.
        judge: a function at the top of a module.
        journal: folder of the node's journal. fingerprint: of the state.
        steps_before: see `train_towers`.
    """

    projections: Projections
    recipe: dict[str, Any]
    train: TowerPairs
    validation: TowerPairs
    judge: Judge
    preprocessing: ImagePreprocessing
    config: PretrainConfig
    compute: Compute
    journal: Path
    fingerprint: str
    steps_before: int = 0


class _Relay:
    """A tracker that sends metrics to the process of the node."""

    def __init__(self, events: Any) -> None:
        self._events = events

    def log_metrics(self, metrics: dict[str, float], step: int | None) -> None:
        """Send them."""
        self._events.put((metrics, step))

    def log_trial(self, *arguments: Any, **named: Any) -> None:
        """Pretraining has no arms."""


def train_in_processes(task: TowerTask, journal: Journal) -> None:
    """Train until the end, in `task.config.num_processes` processes; the state is in the journal.

    Args:
        journal: whose tracker hears the metrics while training runs.
    Raises: UserFacingError: there are too few CUDA devices, or a process died; its own error is
        told. KeyboardInterrupt, SystemExit: a signal came; the state is kept first.
    """
    count = task.config.num_processes
    if task.compute.device == "cuda" and count > torch.cuda.device_count():
        raise UserFacingError(
            "parameter pretrain.num_processes",
            f"wanted {count} processes, and there are {torch.cuda.device_count()} CUDA devices",
            "use one process for each device",
        )
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    events = get_context("spawn").SimpleQueue()
    listener = Thread(target=_listen, args=(events, journal), daemon=True)
    listener.start()
    with TemporaryDirectory(prefix="pretrain-") as folder:
        launch = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=count,
            run_id=uuid.uuid4().hex,
            rdzv_backend="c10d",
            rdzv_endpoint=str(Path(folder) / "rendezvous"),
            rdzv_configs={"store_type": "file"},
            local_addr="127.0.0.1",
            max_restarts=0,
            start_method="spawn",
        )
        try:
            elastic_launch(launch, work)(task, folder, events)
        except ChildFailedError as error:
            raise _told(error, Path(folder)) from None
        except SignalException as stopped:
            if stopped.sigval == signal.SIGINT:
                raise KeyboardInterrupt from None
            raise SystemExit(128 + stopped.sigval) from None
        finally:
            events.put(None)
            listener.join()


def work(task: TowerTask, folder: str, events: Any) -> None:
    """One of the processes; what goes wrong in it is written to `folder`."""
    rank, count = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    end_with_parent()
    torch.set_num_threads(max(1, cores() // count))
    if sys.platform == "linux":
        os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    try:
        _meet(task, init_method=f"file://{folder}/group", rank=rank, world_size=count)
        journal = DiskJournal(task.journal) if rank == 0 else FollowingJournal(task.journal)
        journal.attach(_Relay(events) if rank == 0 else None)
        _train(task, journal, Group(rank, count))
    except Exception as error:
        message = " ".join(str(error).split())
        (Path(folder) / f"failed-{rank}").write_text(f"{type(error).__name__}: {message}")
        raise SystemExit(1) from None


def train_as_part(task: TowerTask, journal: Journal) -> None:
    """Train until the end as one of the processes that torchrun started; all of them call this.

    Args:
        journal: of the node; the folder behind it is the same for all, on every machine.
    Raises: PartDone: this process is not the first one, which goes on with what was trained.
    """
    group = launched()
    assert group is not None
    if group[1] > task.config.encoder_batch_size:
        raise UserFacingError(
            "torchrun",
            f"started {group[1]} processes for steps of {task.config.encoder_batch_size} images",
            "use fewer, or a larger pretrain.encoder_batch_size",
        )
    torch.set_num_threads(own_cores(cores()))
    _meet(task)
    _train(task, journal, Group(*group))
    end_unless_leading("pretraining")


def _train(task: TowerTask, journal: Journal, group: Group) -> None:
    train_towers(
        build_clip(task.projections, **task.recipe), task.train, task.validation, task.judge,
        task.preprocessing, task.config, task.compute, journal, task.fingerprint,
        task.steps_before, group,
    )  # fmt: skip
    distributed.destroy_process_group()


def _meet(task: TowerTask, **group: Any) -> None:
    """Join the other processes; on CUDA, each of a machine with a device of its own."""
    on_cuda = task.compute.device == "cuda"
    if on_cuda:
        take_own_device()
    distributed.init_process_group("nccl" if on_cuda else "gloo", **group)


def _listen(events: Any, journal: Journal) -> None:
    """Log what the first process says, until there is no more."""
    while (said := events.get()) is not None:
        metrics, step = said
        journal.log_metrics(metrics, step=step)


def _told(failed: ChildFailedError, folder: Path) -> UserFacingError:
    """The error of the process that failed first; the others fail because it left them."""
    codes = {rank: failure.exitcode for rank, failure in failed.failures.items()}
    killed = [r for r, code in codes.items() if code < 0 and code != -signal.SIGTERM]
    written = sorted(folder.glob("failed-*"), key=lambda path: path.stat().st_mtime_ns)
    if killed:
        rank, what = killed[0], f"was killed by signal {-codes[killed[0]]}"
    elif written:
        rank, what = int(written[0].name.removeprefix("failed-")), written[0].read_text()
    else:
        rank = min(codes)
        what = f"ended with status {codes[rank]}"
    return UserFacingError(f"pretraining process {rank}", what, _AGAIN)
