"""Trainer: AdamW under warm-up and cosine, EMA weights, checkpoints, exact resume, signals.

One training loop serves every task: a task says what is learned, gives the batches of an epoch,
and adds the gradients of one. Whatever is random in an epoch comes from the seed and the epoch's
number, and in a step from a seed that the epoch drew for it, so the numbers of epochs and steps
done are all that a checkpoint has to know of samplers and generators: a run that was killed ends
with the same bits as one that was not.
"""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any, Protocol

import numpy as np
import torch
from timm.utils import ModelEmaV3
from torch import nn

from sports_clip_pipeline.io.state import RunState
from sports_clip_pipeline.training.distributed import ALONE, Processes
from sports_clip_pipeline.training.precision import Compute

# Text-to-image recall@5 on the validation split: decides the best epoch and early stopping.
METRIC = "validation_t2i_r5"
CPU = Compute("cpu", "fp32")

Arrays = dict[str, np.ndarray]
History = Sequence[Mapping[str, float]]


@dataclass(frozen=True)
class Step:
    """Data of one step.

    Attributes:
        inputs: what the task's `backward` takes.
        size: examples in it, in the task's unit.
        seed: of torch's generators while the step is computed.
    """

    inputs: Any
    size: int
    seed: int


class Task(Protocol):
    """What is trained.

    Attributes:
        model: is trained in place. unit: an example, for rates and progress.
        steps_per_epoch: steps. epoch_size: examples of an epoch.
    """

    model: Any
    unit: str
    steps_per_epoch: int
    epoch_size: int

    def param_groups(self) -> list[dict[str, Any]]:
        """AdamW's groups; `lr_scale` multiplies the learning rate of one."""

    def set_train_mode(self) -> None:
        """Put the model into training mode, but for what is frozen."""

    def batches(self, epoch: int, first: int) -> Iterator[Step]:
        """The steps of an epoch, from step `first` on."""

    def backward(self, inputs: Any, scaler: torch.amp.GradScaler) -> torch.Tensor:
        """Add the gradients of a step's loss; the loss, detached."""

    def after_step(self) -> None:
        """Constrain what has been learned."""

    def epoch_values(self, model: Any) -> dict[str, float]:
        """Values of the model for an epoch's row of the history."""

    def evaluate(self, model: Any) -> dict[str, float]:
        """Metrics of the (EMA) model on validation data."""


@dataclass(frozen=True)
class TrainSettings:
    """How a task is trained.

    Attributes:
        peak_lr: learning rate after warm-up. warmup_share: share of all steps in which it rises.
        ema_decay: EMA decay; the EMA weights are evaluated and saved. 0 keeps the last weights.
        fused: AdamW's fused kernel.
        checkpoint_every_steps: steps between two checkpoints within an epoch; 0 for none.
        checkpoint_every_epochs: a checkpoint is saved at the end of each so-manieth epoch.
        keep: `last`, or `best` for the epoch with the highest validation recall.
        patience_epochs: early stopping after so many epochs without a better recall; 0 for never.
        epochs_before, steps_before: that the history counts on from.
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
    """EMA of a model's weights and buffers with a decay of min(decay, (1 + t) / (10 + t)).

    t counts the steps done, from 1: the first steps forget the initial weights sooner.

    Source: TensorFlow's `tf.train.ExponentialMovingAverage` with `num_updates`.
    """

    def get_decay(self, step: int | None = None) -> float:
        """The decay after so many steps."""
        assert step is not None
        return min(self.decay, (1.0 + step) / (10.0 + step))


# Hears of each step: the trainer, the examples of the step, its loss on the device.
OnStep = Callable[["Trainer", int, torch.Tensor], None]


class Trainer:
    """Model, optimizer, EMA and history of one run; resumes to the bit after any step.

    Attributes:
        epoch: epochs done. step: steps done of the epoch at hand. history: one row an epoch.
        elapsed_s: time spent in steps, over all sittings.
    """

    def __init__(
        self,
        task: Task,
        settings: TrainSettings,
        compute: Compute = CPU,
        processes: Processes = ALONE,
    ) -> None:
        self.task, self.settings = task, settings
        self.compute, self.processes = compute, processes
        self.model = task.model
        task.set_train_mode()
        self.learned = {n: p for n, p in self.model.named_parameters() if p.requires_grad}
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
        """Steps done, over all epochs."""
        return self.epoch * self.task.steps_per_epoch + self.step

    @property
    def examples_done(self) -> int:
        """Examples seen, over all epochs; of the epoch at hand, by its share of steps."""
        share = self.step / self.task.steps_per_epoch
        return round((self.epoch + share) * self.task.epoch_size)

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or early stopping has ended the run."""
        settings = self.settings
        return self.epoch >= settings.epochs or is_over(self.history, settings.patience_epochs)

    @property
    def averaged(self) -> Any:
        """The model with EMA weights; the trained one without an EMA."""
        return self.model if self.ema is None else self.ema.module

    def lr(self, step: int) -> float:
        """The learning rate of a step."""
        settings = self.settings
        return warmup_cosine(step, self.steps, settings.peak_lr, settings.warmup_share)

    def train_step(self, step: Step) -> torch.Tensor:
        """One step of the optimizer and the EMA; the loss, detached."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr(self.steps_done) * group.get("lr_scale", 1.0)
        self.optimizer.zero_grad(set_to_none=True)
        with seeded(self.compute.device, step.seed):
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
        """One epoch, or the rest of one; whether it is complete.

        Args:
            after: hears of each step its examples and loss; true stops the epoch there.
        """
        self.task.set_train_mode()
        start = time.perf_counter()
        for step in self.task.batches(self.epoch, self.step):
            loss = self.train_step(step)
            self.elapsed_s += time.perf_counter() - start
            stop = after(step.size, loss)
            if stop and self.step < self.task.steps_per_epoch:
                return False
            start = time.perf_counter()
        return True

    def end_epoch(self, examples_per_s: float) -> None:
        """Add the epoch's row to the history: mean loss, learning rate, metrics if due."""
        settings, task, model = self.settings, self.task, self.averaged
        step = self.steps_done
        self.epoch, self.step = self.epoch + 1, 0
        metrics: dict[str, float] = {}
        if is_due(self.epoch, settings.epochs, settings.evaluate_every_epochs):
            metrics = task.evaluate(model) if self.processes.is_main_process else {}
            recall = self.processes.broadcast(metrics.get(METRIC), self.compute.device)
            if recall is not None:
                metrics[METRIC] = recall
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
        journal: RunState,
        key: str,
        fingerprint: str,
        on_step: OnStep = lambda *_: None,
        on_epoch: Callable[[dict[str, float]], None] = lambda _: None,
    ) -> None:
        """Train to the end, from the last checkpoint under this key and fingerprint.

        Raises: KeyboardInterrupt, SystemExit: a signal came; a checkpoint is saved first.
        """
        settings = self.settings

        def save(place: str) -> None:
            if self.processes.is_main_process:
                state = self.state()
                journal.save_state(place, fingerprint, *state, keep_previous=place == key)

        def load(place: str) -> None:
            state = journal.load_state(place, fingerprint)
            if state is not None:
                self.restore(*state)

        load(key)
        with deferred_signals() as signals:

            def stop() -> bool:
                return self.processes.any(bool(signals.received), self.compute.device)

            def after(examples: int, loss: torch.Tensor) -> bool:
                on_step(self, examples, loss)
                stopped, every = stop(), settings.checkpoint_every_steps
                due = every and self.steps_done % every == 0
                if self.step < self.task.steps_per_epoch and (stopped or due):
                    save(key)  # the end of an epoch is saved with its row
                return stopped

            while not self.finished and not stop():
                before, begun = self.examples_done, time.perf_counter()
                if not self.run_epoch(after):
                    break
                rate = (self.examples_done - before) / (time.perf_counter() - begun)
                self.end_epoch(rate)
                on_epoch(self.history[-1])
                if settings.keep == "best" and is_best(self.history):
                    save(f"{key}.best")
                every = settings.checkpoint_every_epochs
                if self.finished or signals.received or self.epoch % every == 0:
                    save(key)
            if signals.received:
                signals.end()
            if not self.finished:
                raise SystemExit(128 + signal.SIGTERM)  # another process received the signal
        history = self.history
        if settings.keep == "best":
            load(f"{key}.best")
        self.history = history

    def state(self) -> tuple[Arrays, dict[str, Any]]:
        """Checkpoint: changed weights, EMA, AdamW's moments, GradScaler, position and history."""
        arrays = _named("model.", self.model.state_dict(), self.changing)
        if self.ema is not None:
            arrays |= _named("ema.", self.ema.module.state_dict(), self.changing)
        for name, parameter in self.learned.items():
            arrays |= _named(f"adam.{name}.", self.optimizer.state.get(parameter, {}))
        meta = {
            "epoch": self.epoch,
            "step": self.step,
            "elapsed_s": self.elapsed_s,
            "losses": [float(loss) for loss in self._losses],
            "history": list(self.history),
            "scaler": self.scaler.state_dict(),
        }
        return arrays, meta

    def restore(self, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> None:
        """The inverse of `state`, in place."""
        load_entries(self.model, _under("model.", arrays))
        if self.ema is not None:
            load_entries(self.ema.module, _under("ema.", arrays))
        for name, parameter in self.learned.items():
            self.optimizer.state[parameter] = {
                moment: self._moment(moment, torch.from_numpy(value.copy()), parameter)
                for moment, value in _under(f"adam.{name}.", arrays).items()
            }
        self.scaler.load_state_dict(meta["scaler"])
        self.epoch, self.step = int(meta["epoch"]), int(meta["step"])
        self.elapsed_s, self.history = float(meta["elapsed_s"]), list(meta["history"])
        self._losses = [torch.tensor(loss, device=self.compute.device) for loss in meta["losses"]]

    def _moment(self, name: str, value: torch.Tensor, parameter: nn.Parameter) -> torch.Tensor:
        """A moment in its parameter's memory format: another order may round differently."""
        if name == "step":
            return value.reshape(()).to(parameter.device if self.settings.fused else "cpu")
        return torch.empty_like(parameter, requires_grad=False).copy_(
            value.reshape(parameter.shape)
        )


def warmup_cosine(step: int, steps: int, peak_lr: float, warmup_share: float) -> float:
    """Learning-rate schedule: linear warm-up to `peak_lr`, then a cosine down to 0.

    Args:
        step: 0 <= step < steps.
        warmup_share: share of the steps in which the rate rises.
    Returns: the rate of this step. Of 10 steps with a share of 0.2 and a peak of 1.0, step 0 has
        0.5 and step 1 has 1.0.
    Source: Loshchilov and Hutter 2017 (SGDR), without restarts.
    """
    rising = max(1, round(steps * warmup_share)) if warmup_share > 0 else 0
    if step < rising:
        return peak_lr * (step + 1) / rising
    share = (step - rising) / max(1, steps - rising)
    return peak_lr * 0.5 * (1.0 + math.cos(math.pi * share))


def is_due(epoch: int, epochs: int, every: int) -> bool:
    """Whether this epoch, counted from 1, is evaluated: each `every`-th one and the last."""
    return epoch % every == 0 or epoch == epochs


def is_best(history: History) -> bool:
    """Whether the last row is evaluated and no row before it has as high a recall."""
    if METRIC not in history[-1]:
        return False
    return all(row.get(METRIC, -1.0) < history[-1][METRIC] for row in history[:-1])


def is_over(history: History, patience: int) -> bool:
    """Early stopping: recall has not risen for `patience` epochs; 0 never stops."""
    recalls = [row[METRIC] for row in history if METRIC in row]
    if not patience or not recalls:
        return False
    best = next(n for n, row in enumerate(history) if row.get(METRIC) == max(recalls))
    return len(history) - 1 - best >= patience


def changing_entries(model: nn.Module) -> tuple[str, ...]:
    """Entries of the state dict that training changes, for a model in training mode.

    Parameters that learn, and the running statistics of batch norms in training mode.
    """
    learned = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    statistics = {
        f"{place}.{name}" if place else name
        for place, module in model.named_modules()
        if module.training and isinstance(module, nn.modules.batchnorm._BatchNorm)
        for name, _ in module.named_buffers(recurse=False)
    }
    return tuple(name for name in model.state_dict() if name in learned | statistics)


def set_train_mode(
    module: nn.Module, dropout: bool = True, freeze_batch_norm: bool = False
) -> None:
    """Training mode where all parameters learn, evaluation mode elsewhere.

    A frozen batch norm keeps its statistics, and no dropout disturbs a frozen layer.

    Args:
        dropout: false leaves dropout off where parameters learn, too.
        freeze_batch_norm: batch norms keep their statistics where their parameters learn, too.
    """
    module.training = False
    parameters = list(module.parameters())
    if parameters and all(parameter.requires_grad for parameter in parameters):
        module.train(dropout)  # attention draws by its own mode, without a layer of dropout
        for part in module.modules():
            if isinstance(part, nn.modules.batchnorm._BatchNorm):
                part.train(not freeze_batch_norm)
        return
    for child in module.children():
        set_train_mode(child, dropout, freeze_batch_norm)


def load_entries(model: nn.Module, entries: Mapping[str, Any]) -> None:
    """Copy named arrays or tensors over the model's own; entries not named stay.

    Raises: KeyError: the model has no such entry.
    """
    own = model.state_dict()
    with torch.no_grad():
        for name, value in entries.items():
            tensor = value if isinstance(value, torch.Tensor) else torch.tensor(value)
            own[name].copy_(tensor.reshape(own[name].shape))


@contextmanager
def seeded(device: str, seed: int) -> Iterator[None]:
    """Torch's generators seeded for a block, and as they were after it."""
    devices = [torch.cuda.current_device()] if device == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        yield


class DeferredSignals:
    """SIGTERM or Ctrl-C that came during training, and the end that it asks for."""

    def __init__(self) -> None:
        self.received = 0
        self._former: dict[int, Any] = {}

    def receive(self, number: int, frame: FrameType | None) -> None:
        """Note the signal; a second one acts at once."""
        if self.received:
            self.uninstall()
            signal.raise_signal(number)
        self.received = number

    def end(self) -> None:
        """End as the signal would have: Ctrl-C by KeyboardInterrupt, SIGTERM by its status.

        Raises: KeyboardInterrupt, SystemExit (128 + signal), or what a former handler does.
        """
        former = self._former.get(self.received)
        self.uninstall()
        if callable(former):
            signal.raise_signal(self.received)
        raise SystemExit(128 + self.received)

    def install(self) -> None:
        """Handle both signals; only possible in the main thread."""
        for number in (signal.SIGTERM, signal.SIGINT):
            self._former[number] = signal.signal(number, self.receive)

    def uninstall(self) -> None:
        """Give both signals back to their former handlers."""
        for number, handler in self._former.items():
            signal.signal(number, handler)
        self._former.clear()


@contextmanager
def deferred_signals() -> Iterator[DeferredSignals]:
    """SIGTERM and Ctrl-C are noted, not obeyed, while the block runs (main thread only)."""
    signals = DeferredSignals()
    if threading.current_thread() is threading.main_thread():
        signals.install()
    try:
        yield signals
    finally:
        signals.uninstall()


def _named(prefix: str, entries: Mapping[str, Any], names: Sequence[str] | None = None) -> Arrays:
    """Copies as arrays under prefixed names."""
    return {
        f"{prefix}{name}": entries[name].detach().cpu().contiguous().clone().numpy()
        for name in (entries if names is None else names)
    }


def _under(prefix: str, arrays: Mapping[str, np.ndarray]) -> Arrays:
    """The arrays whose names begin with the prefix, without it."""
    return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
