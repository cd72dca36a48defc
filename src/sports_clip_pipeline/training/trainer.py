"""Trainer: AdamW, warm-up and cosine schedule, EMA, checkpoints, exact resume, SIGTERM.

A task gives the model, the batches of an epoch and their loss. Random numbers of an epoch derive
from the seed and the epoch, those of a step from the step's own seed, so that a checkpoint needs no
generator state and a resumed run ends with the same bits as an uninterrupted one.
"""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from timm.utils import ModelEmaV3
from torch import nn

from sports_clip_pipeline.io.state import RunState
from sports_clip_pipeline.training.distributed import (
    CPU,
    SINGLE_PROCESS,
    Compute,
    DeferredSignals,
    Processes,
)
from sports_clip_pipeline.training.unlock import changing_entries

# Text-to-image recall@5 on the validation split: decides the best epoch and early stopping.
METRIC = "validation_t2i_r5"

Arrays = dict[str, np.ndarray]
History = Sequence[Mapping[str, float]]


class Step(NamedTuple):
    """Batch of one optimizer step: the task's inputs, number of examples, seed of its dropout."""

    inputs: Any
    size: int
    seed: int


class Task:
    """Base class of training tasks: model, batches, loss and validation.

    Attributes:
        model: trained in place. unit: name of one example, for rates and progress bars.
        steps_per_epoch, epoch_size: steps and examples of an epoch.
    """

    model: Any
    unit: str
    steps_per_epoch: int
    epoch_size: int

    def param_groups(self) -> list[dict[str, Any]]:
        """Parameter groups of AdamW; `lr_scale` multiplies the learning rate of a group."""
        raise NotImplementedError

    def set_train_mode(self) -> None:
        """Set training mode, except for frozen modules."""

    def batches(self, epoch: int, first: int) -> Iterator[Step]:
        """Steps of an epoch, starting with step `first`."""
        raise NotImplementedError

    def loss(self, inputs: Any) -> torch.Tensor:
        """Loss () of a batch."""
        raise NotImplementedError

    def backward(self, inputs: Any, scaler: torch.amp.GradScaler) -> torch.Tensor:
        """Accumulate the gradients of a batch's loss; returns the loss, detached."""
        loss = self.loss(inputs)
        scaler.scale(loss).backward()
        return loss.detach()

    def after_step(self) -> None:
        """Constrain the updated parameters."""

    def epoch_values(self, model: Any) -> dict[str, float]:
        """Values of the (EMA) model for the epoch's row of the history."""
        return {}

    def evaluate(self, model: Any) -> dict[str, float]:
        """Validation metrics of the (EMA) model."""
        return {}


@dataclass(frozen=True)
class TrainSettings:
    """Hyper-parameters of a `Trainer`.

    Attributes:
        warmup_share: share of all steps in which the learning rate rises to `peak_lr`.
        ema_decay: EMA decay; the EMA weights are evaluated and saved. 0 disables the EMA.
        checkpoint_every_steps: checkpoint interval within an epoch; 0 for none.
        keep: `last`, or `best` for the epoch with the highest validation recall.
        patience_epochs: early stopping after so many epochs without improvement; 0 disables it.
        epochs_before, steps_before: offsets of the history.
    """

    epochs: int
    peak_lr: float
    warmup_share: float
    betas: tuple[float, float] = (0.9, 0.98)
    ema_decay: float = 0.0
    fused: bool = False
    checkpoint_every_steps: int = 0
    checkpoint_every_epochs: int = 1
    evaluate_every_epochs: int = 1
    keep: str = "last"
    patience_epochs: int = 0
    epochs_before: int = 0
    steps_before: int = 0


class WarmupEma(ModelEmaV3):
    """EMA of weights and buffers with decay min(decay, (1 + t) / (10 + t)) after t steps.

    Source: TensorFlow's `tf.train.ExponentialMovingAverage` with `num_updates`.
    """

    def get_decay(self, step: int | None = None) -> float:
        """Decay after `step` steps."""
        assert step is not None
        return min(self.decay, (1.0 + step) / (10.0 + step))


# Called after each step with the trainer, the batch size and the loss on the device.
OnStep = Callable[["Trainer", int, torch.Tensor], None]


class Trainer:
    """Training loop with model, optimizer, EMA and history; resumes to the bit after any step.

    Attributes:
        epoch: finished epochs. step: finished steps of the current epoch.
        history: one row per epoch. elapsed_s: time spent in steps, over all restarts.
    """

    def __init__(
        self,
        task: Task,
        settings: TrainSettings,
        compute: Compute = CPU,
        processes: Processes = SINGLE_PROCESS,
    ) -> None:
        self.task, self.settings = task, settings
        self.compute, self.processes = compute, processes
        self.model = task.model
        task.set_train_mode()
        self.trainable = {n: p for n, p in self.model.named_parameters() if p.requires_grad}
        self.changing = changing_entries(self.model)
        self.optimizer = torch.optim.AdamW(
            task.param_groups(), lr=settings.peak_lr, betas=settings.betas, fused=settings.fused
        )
        self.ema = WarmupEma(self.model, settings.ema_decay) if settings.ema_decay else None
        self.scaler = compute.scaler()
        self.epoch, self.step, self.elapsed_s = 0, 0, 0.0
        self.history: list[dict[str, float]] = []
        self._losses: list[torch.Tensor] = []

    @property
    def steps(self) -> int:
        """Steps of the whole run."""
        return self.settings.epochs * self.task.steps_per_epoch

    @property
    def steps_done(self) -> int:
        """Finished steps, over all epochs."""
        return self.epoch * self.task.steps_per_epoch + self.step

    @property
    def examples_done(self) -> int:
        """Processed examples; those of the current epoch by its share of steps."""
        share = self.step / self.task.steps_per_epoch
        return round((self.epoch + share) * self.task.epoch_size)

    @property
    def finished(self) -> bool:
        """Whether all epochs are done or early stopping has ended the run."""
        settings = self.settings
        return self.epoch >= settings.epochs or stops_early(self.history, settings.patience_epochs)

    @property
    def averaged(self) -> Any:
        """The EMA model; the trained one without an EMA."""
        return self.model if self.ema is None else self.ema.module

    def lr(self, step: int) -> float:
        """Scheduled learning rate of a step."""
        settings = self.settings
        return warmup_cosine(step, self.steps, settings.peak_lr, settings.warmup_share)

    def train_step(self, step: Step) -> torch.Tensor:
        """One step of the optimizer and the EMA; returns the loss, detached."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr(self.steps_done) * group.get("lr_scale", 1.0)
        self.optimizer.zero_grad(set_to_none=True)
        devices = [torch.cuda.current_device()] if self.compute.device == "cuda" else []
        with torch.random.fork_rng(devices):
            torch.manual_seed(step.seed)
            loss = self.task.backward(step.inputs, self.scaler)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.task.after_step()
        self.step += 1
        if self.ema is not None:
            self.ema.update(self.model, self.steps_done)
        self._losses.append(loss)
        return loss

    def run_epoch(self, after: Callable[[int, torch.Tensor], bool] = lambda *_: False) -> bool:
        """Run one epoch, or the rest of one; returns whether it is complete.

        Args:
            after: called after each step with its size and loss; true stops the epoch.
        """
        self.task.set_train_mode()
        start = time.perf_counter()
        for step in self.task.batches(self.epoch, self.step):
            loss = self.train_step(step)
            self.elapsed_s += time.perf_counter() - start
            if after(step.size, loss) and self.step < self.task.steps_per_epoch:
                return False
            start = time.perf_counter()
        return True

    def end_epoch(self, examples_per_s: float) -> None:
        """Append the epoch's row to the history: mean loss, learning rate, metrics if due."""
        settings, task, model = self.settings, self.task, self.averaged
        step = self.steps_done
        self.epoch, self.step = self.epoch + 1, 0
        metrics: dict[str, float] = {}
        if self.epoch % settings.evaluate_every_epochs == 0 or self.epoch == settings.epochs:
            metrics = task.evaluate(model) if self.processes.is_main_process else {}
            metrics = self.processes.broadcast(metrics)
        self.history.append(
            {
                "epoch": settings.epochs_before + self.epoch,
                "step": settings.steps_before + step,
                "loss": float(np.mean([float(loss) for loss in self._losses])),
                "lr": self.lr(step - 1),
                **task.epoch_values(model),
                **metrics,
                f"{task.unit}s_per_s": examples_per_s,
            }
        )
        self._losses = []

    def fit(
        self,
        run_state: RunState,
        key: str,
        fingerprint: str,
        on_step: OnStep = lambda *_: None,
        on_epoch: Callable[[dict[str, float]], None] = lambda _: None,
    ) -> None:
        """Train to the end, resuming from the last checkpoint under this key and fingerprint.

        Raises: KeyboardInterrupt, SystemExit: SIGINT or SIGTERM came; a checkpoint is saved first.
        """
        settings = self.settings

        def save(name: str) -> None:
            if self.processes.is_main_process:
                run_state.save_state(name, fingerprint, *self.state(), keep_previous=name == key)

        def load(name: str) -> None:
            state = run_state.load_state(name, fingerprint)
            if state is not None:
                self.restore(*state)

        load(key)
        with DeferredSignals() as signals:

            def interrupted() -> bool:
                return self.processes.any(bool(signals.received), self.compute.device)

            def after(size: int, loss: torch.Tensor) -> bool:
                on_step(self, size, loss)
                stop, every = interrupted(), settings.checkpoint_every_steps
                due = every and self.steps_done % every == 0
                if self.step < self.task.steps_per_epoch and (stop or due):
                    save(key)  # the end of an epoch is saved with its row
                return stop

            while not self.finished and not interrupted():
                examples, start = self.examples_done, time.perf_counter()
                if not self.run_epoch(after):
                    break
                self.end_epoch((self.examples_done - examples) / (time.perf_counter() - start))
                on_epoch(self.history[-1])
                if settings.keep == "best" and is_best(self.history):
                    save(f"{key}.best")
                every = settings.checkpoint_every_epochs
                if self.finished or signals.received or self.epoch % every == 0:
                    save(key)
            if signals.received:
                signals.reraise()
            if not self.finished:
                raise SystemExit(128 + signal.SIGTERM)  # another process received the signal
        history = self.history
        if settings.keep == "best":
            load(f"{key}.best")
        self.history = history

    def state(self) -> tuple[Arrays, dict[str, Any]]:
        """Checkpoint: changed weights, EMA, AdamW's moments, GradScaler, position and history."""
        modules = {"model": self.model}
        if self.ema is not None:
            modules["ema"] = self.ema.module
        entries: dict[str, torch.Tensor] = {}
        for prefix, module in modules.items():
            values = module.state_dict()
            entries |= {f"{prefix}.{name}": values[name] for name in self.changing}
        for name, parameter in self.trainable.items():
            moments = self.optimizer.state.get(parameter, {})
            entries |= {f"adam.{name}.{moment}": value for moment, value in moments.items()}
        meta = {
            "epoch": self.epoch,
            "step": self.step,
            "elapsed_s": self.elapsed_s,
            "losses": [float(loss) for loss in self._losses],
            "history": list(self.history),
            "scaler": self.scaler.state_dict(),
        }
        arrays = {k: v.detach().cpu().contiguous().clone().numpy() for k, v in entries.items()}
        return arrays, meta

    def restore(self, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> None:
        """Load a checkpoint; the inverse of `state`."""

        def under(prefix: str) -> dict[str, torch.Tensor]:
            return {
                name.removeprefix(prefix): torch.tensor(value)
                for name, value in arrays.items()
                if name.startswith(prefix)
            }

        self.model.load_state_dict(under("model."), strict=False)
        if self.ema is not None:
            self.ema.module.load_state_dict(under("ema."), strict=False)
        for name, parameter in self.trainable.items():
            self.optimizer.state[parameter] = {
                moment: self._moment(moment, value, parameter)
                for moment, value in under(f"adam.{name}.").items()
            }
        self.scaler.load_state_dict(meta["scaler"])
        self.epoch, self.step = int(meta["epoch"]), int(meta["step"])
        self.elapsed_s, self.history = float(meta["elapsed_s"]), list(meta["history"])
        self._losses = [torch.tensor(loss, device=self.compute.device) for loss in meta["losses"]]

    def _moment(self, name: str, value: torch.Tensor, parameter: nn.Parameter) -> torch.Tensor:
        """A moment in its parameter's memory format: another order may round differently."""
        if name == "step":
            return value.reshape(()).to(parameter.device if self.settings.fused else "cpu")
        return torch.empty_like(parameter, requires_grad=False).copy_(value)


def warmup_cosine(step: int, steps: int, peak_lr: float, warmup_share: float) -> float:
    """Learning-rate schedule: linear warm-up to `peak_lr`, then a cosine down to 0.

    Of 10 steps with a warm-up share of 0.2 and a peak of 1.0, step 0 has 0.5 and step 1 has 1.0.

    Source: Loshchilov and Hutter 2017 (SGDR), without restarts.
    """
    warmup = max(1, round(steps * warmup_share)) if warmup_share > 0 else 0
    if step < warmup:
        return peak_lr * (step + 1) / warmup
    share = (step - warmup) / max(1, steps - warmup)
    return peak_lr * 0.5 * (1.0 + math.cos(math.pi * share))


def is_best(history: History) -> bool:
    """Whether the last row is evaluated and its recall is higher than that of all before."""
    if METRIC not in history[-1]:
        return False
    return all(row.get(METRIC, -1.0) < history[-1][METRIC] for row in history[:-1])


def stops_early(history: History, patience: int) -> bool:
    """Early stopping: no higher recall for `patience` epochs; 0 never stops."""
    recalls = [row.get(METRIC, -1.0) for row in history]
    if not patience or max(recalls, default=-1.0) < 0:
        return False
    return len(recalls) - 1 - recalls.index(max(recalls)) >= patience
