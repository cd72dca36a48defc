"""Trainer: AdamW, warm-up and cosine schedule, EMA, checkpoints, exact resume, SIGTERM.

A task gives the model, the batches of an epoch and their loss. Random numbers of an epoch derive
from the seed and the epoch, those of a step from the step's own seed, so that a checkpoint needs no
generator state and a resumed run ends with the same bits as an uninterrupted one.
"""

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
from sports_clip_pipeline.training import distributed
from sports_clip_pipeline.training.unlock import changing_entries, set_train_mode

# Text-to-image recall@5 on the validation split: decides the best epoch and early stopping.
METRIC = "validation_t2i_r5"

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class TrainSettings:
    """Hyper-parameters of a `Trainer`.

    Attributes:
        warmup_share: share of all steps in which the learning rate rises to `peak_lr`.
        ema_decay: EMA decay; the EMA weights are evaluated and saved. 0 disables the EMA.
        dropout, freeze_batch_norm: see `set_train_mode`.
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
    dropout: bool = True
    freeze_batch_norm: bool = False
    checkpoint_every_steps: int = 0
    checkpoint_every_epochs: int = 1
    evaluate_every_epochs: int = 1
    keep: str = "last"
    patience_epochs: int = 0
    epochs_before: int = 0
    steps_before: int = 0


class Step(NamedTuple):
    """Batch of one optimizer step: the task's inputs, and the seed of its dropout."""

    inputs: Any
    seed: int


class Task:
    """Base class of training tasks: model, batches, loss and validation.

    Attributes:
        model: trained in place. unit: name of one example, for rates and progress bars.
        steps_per_epoch, epoch_size: steps and examples of an epoch.
    """

    model: Any
    unit: str
    settings: TrainSettings
    steps_per_epoch: int
    epoch_size: int
    compute: distributed.Compute = distributed.CPU
    processes: distributed.Processes = distributed.SINGLE_PROCESS

    def param_groups(self) -> list[dict[str, Any]]:
        """Parameter groups of AdamW; `lr_scale` multiplies the learning rate of a group."""
        raise NotImplementedError

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


class WarmupEma(ModelEmaV3):
    """EMA of weights and buffers with decay min(decay, (1 + t) / (10 + t)) after t steps.

    Source: TensorFlow's `tf.train.ExponentialMovingAverage` with `num_updates`.
    """

    def get_decay(self, step: int | None = None) -> float:
        """Decay after `step` steps."""
        assert step is not None
        return min(self.decay, (1.0 + step) / (10.0 + step))


class Trainer:
    """Training loop with model, optimizer, EMA and history; resumes to the bit after any step.

    Attributes:
        trainable: parameters by name. changing: entries of the state dict that training changes.
        averaged: the EMA model; the trained one without an EMA.
        epoch: finished epochs. step: finished steps of the current epoch.
        history: one row per epoch. elapsed_s: time spent in steps, over all restarts.
    """

    def __init__(self, task: Task) -> None:
        self.task, self.settings, self.model = task, task.settings, task.model
        self._set_train_mode()
        self.trainable = {n: p for n, p in self.model.named_parameters() if p.requires_grad}
        self.changing = changing_entries(self.model)
        lr, betas, fused = self.settings.peak_lr, self.settings.betas, self.settings.fused
        self.optimizer = torch.optim.AdamW(task.param_groups(), lr=lr, betas=betas, fused=fused)
        decay = self.settings.ema_decay
        self.ema = WarmupEma(self.model, decay) if decay else None
        self.averaged: Any = self.model if self.ema is None else self.ema.module
        self.scaler = task.compute.scaler()
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
        stopped = 0 < self.settings.patience_epochs <= stalled_epochs(self.history)
        return self.epoch >= self.settings.epochs or stopped

    def lr(self, step: int) -> float:
        """Scheduled learning rate of a step."""
        settings = self.settings
        return warmup_cosine(step, self.steps, settings.peak_lr, settings.warmup_share)

    def train_step(self, step: Step) -> torch.Tensor:
        """One step of the optimizer and the EMA; returns the loss, detached."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr(self.steps_done) * group.get("lr_scale", 1.0)
        self.optimizer.zero_grad(set_to_none=True)
        devices = [torch.cuda.current_device()] if self.task.compute.device == "cuda" else []
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

    def run_epoch(self, after: Callable[[torch.Tensor], bool] = lambda _: False) -> bool:
        """Run one epoch, or the rest of one; returns whether it is complete.

        Args:
            after: called after each step with its loss; true stops the epoch.
        """
        self._set_train_mode()
        examples, begin = self.examples_done, time.perf_counter()
        start = begin
        for step in self.task.batches(self.epoch, self.step):
            loss = self.train_step(step)
            self.elapsed_s += time.perf_counter() - start
            if after(loss) and self.step < self.task.steps_per_epoch:
                return False
            start = time.perf_counter()
        self._end_epoch((self.examples_done - examples) / (start - begin))
        return True

    def _end_epoch(self, examples_per_s: float) -> None:
        """Append the epoch's row to the history: mean loss, learning rate, metrics if due."""
        settings, task = self.settings, self.task
        step = self.steps_done
        self.epoch, self.step = self.epoch + 1, 0
        metrics: dict[str, float] = {}
        if self.epoch % settings.evaluate_every_epochs == 0 or self.epoch == settings.epochs:
            metrics = task.evaluate(self.averaged) if task.processes.is_main_process else {}
            metrics = task.processes.broadcast(metrics)
        self.history.append(
            {
                "epoch": settings.epochs_before + self.epoch,
                "step": settings.steps_before + step,
                "loss": float(np.mean([float(loss) for loss in self._losses])),
                "lr": self.lr(step - 1),
                **task.epoch_values(self.averaged),
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
        on_step: Callable[["Trainer", torch.Tensor], None] = lambda *_: None,
        on_epoch: Callable[[dict[str, float]], None] = lambda _: None,
        bar: Any = None,
    ) -> None:
        """Train to the end, resuming from the last checkpoint under this key and fingerprint.

        Args:
            on_step: called after each step with the trainer and the loss on the device.
            bar: advanced by the examples of each step, and by those of earlier runs.
        Raises: KeyboardInterrupt, SystemExit: SIGINT or SIGTERM came; a checkpoint is saved first.
        """
        settings, processes, shown = self.settings, self.task.processes, 0

        def save(name: str) -> None:
            if processes.is_main_process:
                run_state.save_state(name, fingerprint, *self.state(), keep_previous=name == key)

        def load(name: str) -> None:
            state = run_state.load_state(name, fingerprint)
            if state is not None:
                self.restore(*state)

        def advance() -> None:
            nonlocal shown
            if bar is not None:
                bar.update(self.examples_done - shown)
            shown = self.examples_done

        load(key)
        advance()
        with distributed.deferred_signals() as signals:

            def interrupted() -> bool:
                return processes.any(bool(signals), self.task.compute.device)

            def after(loss: torch.Tensor) -> bool:
                advance()
                on_step(self, loss)
                stop, every = interrupted(), settings.checkpoint_every_steps
                due = every and self.steps_done % every == 0
                if self.step < self.task.steps_per_epoch and (stop or due):
                    save(key)  # the end of an epoch is saved with its row
                return stop

            while not self.finished and not interrupted():
                if not self.run_epoch(after):
                    break
                on_epoch(self.history[-1])
                if settings.keep == "best" and stalled_epochs(self.history) == 0:
                    save(f"{key}.best")
                every = settings.checkpoint_every_epochs
                if self.finished or signals or self.epoch % every == 0:
                    save(key)
        if not self.finished:
            raise SystemExit(128 + signal.SIGTERM)  # another process received the signal
        history = self.history
        if settings.keep == "best":
            load(f"{key}.best")
        self.history = history

    def state(self) -> tuple[Arrays, dict[str, Any]]:
        """Checkpoint: changed weights, EMA, AdamW's moments, GradScaler, position and history."""
        entries: dict[str, torch.Tensor] = {}
        for prefix, module in self._modules():
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

        for prefix, module in self._modules():
            module.load_state_dict(under(f"{prefix}."), strict=False)
        for name, parameter in self.trainable.items():
            self.optimizer.state[parameter] = {
                moment: self._moment(moment, value, parameter)
                for moment, value in under(f"adam.{name}.").items()
            }
        self.scaler.load_state_dict(meta["scaler"])
        self.epoch, self.step = int(meta["epoch"]), int(meta["step"])
        self.elapsed_s, self.history = float(meta["elapsed_s"]), list(meta["history"])
        device = self.task.compute.device
        self._losses = [torch.tensor(loss, device=device) for loss in meta["losses"]]

    def _modules(self) -> list[tuple[str, Any]]:
        """The trained model, and the EMA model if there is one, with their prefix in `state`."""
        return [("model", self.model), *([] if self.ema is None else [("ema", self.averaged)])]

    def _set_train_mode(self) -> None:
        set_train_mode(self.model, self.settings.dropout, self.settings.freeze_batch_norm)

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


def stalled_epochs(history: Sequence[Mapping[str, float]]) -> int:
    """Epochs since the first with the highest validation recall; 0 where none has any."""
    recalls = [row.get(METRIC, -1.0) for row in history]
    highest = max(recalls, default=-1.0)
    return len(recalls) - 1 - recalls.index(highest) if highest >= 0 else 0
