"""The training loop through the tower: one step after another, continued exactly after a kill."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from sports_clip_pipeline.journal import Journal
from sports_clip_pipeline.pipelines.finetune.config import EndToEndConfig
from sports_clip_pipeline.preprocessing.images import ImagePreprocessing
from sports_clip_pipeline.training.pause import hearing_signals
from sports_clip_pipeline.training.pixels.average import MovingAverage, moving_entries
from sports_clip_pipeline.training.pixels.classifier import LinearHead, PixelClassifier
from sports_clip_pipeline.training.pixels.holdout import rows_of_step, steps_for
from sports_clip_pipeline.training.pixels.methods.interface import Batch, PixelMethod
from sports_clip_pipeline.training.pixels.squares import normalised, random_crops
from sports_clip_pipeline.training.schedule import warmup_cosine

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Photographs:
    """What one run trains on.

    Attributes:
        squares: (N, S, S, 3) uint8, of all development photographs.
        rows: (n,) int64 into `squares`; the photographs of this run.
        target: (n,) int64 classes.
        preprocessing: whose mean and std the tower wants.
    """

    squares: np.ndarray
    rows: np.ndarray
    target: np.ndarray
    preprocessing: ImagePreprocessing


class PixelTraining:
    """Model, moving average and AdamW of one run.

    Everything random in a step comes from (seed, step), so the number of steps done is all that
    must be known of the sampler and of the random states.

    Attributes:
        done: steps done. steps: of the whole run. elapsed_s: spent so far, over all sittings.
    """

    def __init__(
        self,
        model: PixelClassifier,
        method: PixelMethod,
        photographs: Photographs,
        config: EndToEndConfig,
        seed: int,
        labels: int | None = None,
    ) -> None:
        """Start a run.

        Args:
            labels: labelled photographs of the arm, held-out ones among them; those of
                `photographs` where not given.
        """
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.model = model.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.method, self.photographs, self.config, self.seed = method, photographs, config, seed
        count = len(photographs.rows)
        self.steps = steps_for(count, config.batch_size, config.epochs, config.min_steps)
        few = (count if labels is None else labels) < config.freeze_batch_norm_below
        self.keep_statistics = method.statistics == "kept" or (method.statistics == "auto" and few)
        self.average = MovingAverage(self.model, config.ema_decay)
        self.trained = {
            name: value for name, value in self.model.named_parameters() if value.requires_grad
        }
        self.optimizer = torch.optim.AdamW(self._groups(), betas=(0.9, 0.999), fused=True)
        self.done, self.elapsed_s = 0, 0.0
        set_training_mode(self.model, self.keep_statistics)

    def step(self) -> float:
        """One step; its loss."""
        start = time.perf_counter()
        rate = warmup_cosine(
            self.done, self.steps, self.method.peak_lr(self.config), self.config.warmup_share
        )
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["factor"]
        rng = np.random.default_rng([self.seed, 3, self.done])
        torch.manual_seed(int(rng.integers(2**62)))
        loss = self.method.loss(self.model, self._batch(rng), self.config)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.done += 1
        self.average.update(self.model, self.done)
        self.elapsed_s += time.perf_counter() - start
        return float(loss.detach())

    def _batch(self, rng: np.random.Generator) -> Batch:
        seen, config = self.photographs, self.config
        rows = rows_of_step(self.done, config.batch_size, len(seen.rows), self.seed)
        whole = normalised(seen.squares[seen.rows[rows]], seen.preprocessing)
        pixels = random_crops(whole, config.image_size, config.crop_area, rng)
        target = torch.from_numpy(seen.target[rows])
        return Batch(pixels.to(self.device), target.to(self.device), rng)

    def _groups(self) -> list[dict[str, Any]]:
        """Matrices and kernels decay, vectors do not; a head that starts at zero learns faster."""
        new_head = isinstance(self.model.head, LinearHead)
        groups: dict[tuple[bool, bool], dict[str, Any]] = {}
        for name, parameter in self.trained.items():
            decays, fast = parameter.ndim > 1, new_head and name.startswith("head.")
            group = groups.setdefault(
                (decays, fast),
                {
                    "params": [],
                    "weight_decay": self.config.weight_decay if decays else 0.0,
                    "factor": self.config.head_lr_factor if fast else 1.0,
                },
            )
            group["params"].append(parameter)
        return list(groups.values())

    def state(self) -> tuple[Arrays, dict[str, Any]]:
        """All that is needed to go on: weights, moving average, AdamW's moments, steps done."""
        arrays = _named("model.", moving_entries(self.model))
        arrays |= _named("average.", self.average.entries)
        for name, parameter in self.trained.items():
            arrays |= _named(f"adam.{name}.", self.optimizer.state.get(parameter, {}))
        return arrays, {"done": self.done, "elapsed_s": self.elapsed_s}

    def restore(self, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> None:
        """The inverse of `state`."""
        load_entries(self.model, {k[6:]: v for k, v in arrays.items() if k.startswith("model.")})
        for name, value in self.average.entries.items():
            value.copy_(_tensor(arrays[f"average.{name}"], value))
        for name, parameter in self.trained.items():
            # Moments lie in memory as their parameter does: the fused kernel walks them together.
            moments = self.optimizer.state[parameter]
            for moment in ("exp_avg", "exp_avg_sq"):
                kept = _tensor(arrays[f"adam.{name}.{moment}"], parameter)
                moments[moment] = torch.zeros_like(parameter, requires_grad=False).copy_(kept)
            count = torch.tensor(float(arrays[f"adam.{name}.step"].item()))
            moments["step"] = count.to(parameter.device)
        self.done, self.elapsed_s = int(meta["done"]), float(meta["elapsed_s"])

    def averaged(self) -> dict[str, torch.Tensor]:
        """The moving average's entries."""
        return dict(self.average.entries)


def run_training(
    training: PixelTraining,
    journal: Journal,
    key: str,
    mark: str,
    on_step: Callable[[PixelTraining, float], None],
) -> None:
    """Step until the end; the state is kept every few steps, and when a signal asks to stop.

    Args:
        key: of the state. mark: its fingerprint; state under it is continued.
        on_step: hears of each step and its loss.
    Raises: KeyboardInterrupt, SystemExit: a signal came; the state is kept first.
    """
    kept = journal.load_state(key, mark)
    if kept is not None:
        training.restore(*kept)
    every = training.config.checkpoint_every_steps
    with hearing_signals() as pause:
        while training.done < training.steps and not pause.asked:
            on_step(training, training.step())
            if training.done % every == 0 or training.done == training.steps or pause.asked:
                journal.save_state(key, mark, *training.state())
        if pause.asked:
            pause.end()


def set_training_mode(model: nn.Module, keep_statistics: bool) -> None:
    """Train mode; batch norms in eval mode where their statistics are kept or they are frozen.

    With few photographs a batch says little of the mean and variance that ImageNet told well.
    """
    model.train()
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            frozen = not any(value.requires_grad for value in module.parameters())
            module.train(not (keep_statistics or frozen))


def load_entries(model: nn.Module, entries: Mapping[str, Any]) -> None:
    """Copy named arrays or tensors over the model's own; entries not named stay.

    Raises: KeyError: the model has no such entry.
    """
    own = model.state_dict()
    with torch.no_grad():
        for name, value in entries.items():
            own[name].copy_(_tensor(value, own[name]))


def _tensor(value: Any, like: torch.Tensor) -> torch.Tensor:
    """An array or tensor in the shape of another; kept arrays have at least one dimension."""
    tensor = value if isinstance(value, torch.Tensor) else torch.tensor(value)
    return tensor.reshape(like.shape)


def _named(prefix: str, entries: Mapping[str, Any]) -> Arrays:
    """Copies as arrays under prefixed names."""
    return {
        f"{prefix}{name}": value.detach().cpu().contiguous().numpy().copy()
        for name, value in entries.items()
    }
