"""Contrastive pretraining over locked towers: only the two projections and the scale are learned.

The towers' features are computed once, so an epoch over Flickr8k costs a fraction of a second. They
are read from their file step by step.
This is LiT (Zhai et al. 2022) with both towers locked, and several captions an image.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from sports_clip_pipeline.journal import Journal
from sports_clip_pipeline.models.projection_heads import build_head, first_layer
from sports_clip_pipeline.models.projections import IMAGE, TEXT, Projections, projections_of
from sports_clip_pipeline.objectives import find_objective
from sports_clip_pipeline.pipelines.pretrain.config import PretrainConfig
from sports_clip_pipeline.training.paired_features import PairedFeatures
from sports_clip_pipeline.training.schedule import warmup_cosine
from sports_clip_pipeline.training.selection import is_best, is_due, is_over, restore_best

STATE = "pretrain/last"
BEST = "pretrain/best"
MAX_LOGIT_SCALE = math.log(100.0)


class _Projector(nn.Module):
    """Standardised features to the shared space; folds into plain projections at the end."""

    mean: torch.Tensor
    scale: torch.Tensor
    text_scale: torch.Tensor

    def __init__(self, pairs: PairedFeatures, config: PretrainConfig) -> None:
        super().__init__()
        self.register_buffer("mean", torch.from_numpy(pairs.image.column_means()))
        # One scale for all features: scaling each to unit variance blows up the rare ones, and
        # cost 2 points of R@5 on Flickr8k validation.
        self.register_buffer("scale", torch.tensor(pairs.image.standard_deviation() + 1e-6))
        self.register_buffer("text_scale", torch.tensor(pairs.text.root_mean_square()))
        kind, space = config.projections, config.embed_dim
        # Features are dropped by a generator of their own; a head's dropout waits for the towers.
        self.image = build_head(kind, pairs.image.shape[1], space, bias=True).eval()
        self.text = build_head(kind, pairs.text.shape[1], space, bias=False).eval()
        self.logit_scale = nn.Parameter(torch.tensor(-math.log(config.initial_temperature)))
        images = min(config.batch_size, len(pairs.image))
        bias = find_objective(config.loss).starting_bias(images)
        self.logit_bias = None if bias is None else nn.Parameter(torch.tensor(bias))
        self.dropout, self.noise = config.feature_dropout, config.feature_noise

    def forward(
        self, image: torch.Tensor, text: torch.Tensor, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Pooled features (N, D), (M, E) to unit-norm (N, P), (M, P), with noise and dropout."""
        image = self._disturb((image - self.mean) / self.scale, generator)
        text = self._disturb(text / self.text_scale, generator)
        image_emb = functional.normalize(self.image(image), dim=1)
        return image_emb, functional.normalize(self.text(text), dim=1)

    def _disturb(self, values: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        if self.noise:
            values = values + self.noise * torch.randn(values.shape, generator=generator)
        if self.dropout:
            kept = torch.rand(values.shape, generator=generator) >= self.dropout
            values = values * kept / (1.0 - self.dropout)
        return values

    def folded(self) -> Projections:
        """The same maps on raw pooled features: the standardisation goes into the weights."""
        image, text = copy.deepcopy(self.image), copy.deepcopy(self.text)
        with torch.no_grad():
            first = first_layer(image)
            first.weight.div_(self.scale)  # (P, D)
            first.bias.sub_(first.weight @ self.mean)
            first_layer(text).weight.div_(self.text_scale)
        inner = "proj." if isinstance(image, nn.Linear) else ""
        state = {f"{IMAGE}{inner}{name}": value for name, value in image.state_dict().items()}
        state |= {f"{TEXT}{name}": value for name, value in text.state_dict().items()}
        state["logit_scale"] = self.logit_scale
        if self.logit_bias is not None:
            state["logit_bias"] = self.logit_bias
        return projections_of({name: value.detach().numpy() for name, value in state.items()})


class LockedTraining:
    """The loop's moving parts: model, optimiser, history; resumable at epoch borders."""

    def __init__(self, pairs: PairedFeatures, config: PretrainConfig) -> None:
        torch.manual_seed(config.seed)
        self.config, self.pairs = config, pairs
        self.model = _Projector(pairs, config)
        learned = list(self.model.parameters())
        decayed = [parameter for parameter in learned if parameter.ndim > 1]
        plain = [parameter for parameter in learned if parameter.ndim <= 1]
        self.objective = find_objective(config.loss)
        self.optimizer = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": config.weight_decay},
             {"params": plain, "weight_decay": 0.0}],
            lr=config.peak_lr, betas=(0.9, 0.98),
        )  # fmt: skip
        self.captions = pairs.captions_of()
        self.steps_per_epoch = max(1, round(len(pairs.image) / config.batch_size))
        self.epoch = 0
        self.history: list[dict[str, float]] = []

    def run_epoch(self) -> float:
        """One pass over the images in a new order; the mean loss.

        Order, captions and noise come from a generator seeded by (seed, epoch), so an epoch that
        is run again after a kill is the same epoch.
        """
        rng = np.random.default_rng([self.config.seed, self.epoch])
        noise = torch.Generator().manual_seed(int(rng.integers(2**62)))
        losses = []
        parts = np.array_split(rng.permutation(len(self.pairs.image)), self.steps_per_epoch)
        for number, images in enumerate(parts):
            step = self.epoch * self.steps_per_epoch + number
            losses.append(self._step(step, images, rng, noise))
        self.epoch += 1
        return float(np.mean(losses))

    def lr(self, step: int) -> float:
        """The learning rate of a step."""
        steps = self.config.epochs * self.steps_per_epoch
        return warmup_cosine(step, steps, self.config.peak_lr, self.config.warmup_share)

    def _step(
        self, step: int, images: np.ndarray, rng: np.random.Generator, noise: torch.Generator
    ) -> float:
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr(step)
        drawn = [
            rng.permutation(self.captions[n])[: self.config.captions_per_image] for n in images
        ]
        owner = torch.from_numpy(np.repeat(np.arange(len(images)), [len(d) for d in drawn]))
        seen = torch.from_numpy(self._seen(images, rng))
        read = torch.from_numpy(self.pairs.text[np.concatenate(drawn)])
        image_emb, text_emb = self.model(seen, read, noise)
        scale = self.model.logit_scale.exp()
        loss = self.objective.loss(image_emb, text_emb, owner, scale, self.model.logit_bias)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        with torch.no_grad():
            self.model.logit_scale.clamp_(0.0, MAX_LOGIT_SCALE)
        return float(loss.detach())

    def _seen(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Features (B, D) of the images; where views are told apart, of one drawn for each."""
        views = self.pairs.views
        if not views:
            return self.pairs.image[images]
        drawn = rng.integers(len(views), size=len(images))
        seen = np.empty((len(images), views[0].shape[1]), np.float32)
        for number, view in enumerate(views):
            seen[drawn == number] = view[images[drawn == number]]
        return seen

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Everything needed to go on: weights, AdamW's moments, epoch, history."""
        arrays = {f"model.{k}": v.numpy().copy() for k, v in self.model.state_dict().items()}
        for index, moments in self.optimizer.state_dict()["state"].items():
            arrays |= {f"adam.{index}.{k}": v.numpy().copy() for k, v in moments.items()}
        return arrays, {"epoch": self.epoch, "history": list(self.history)}

    def restore(self, arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
        """The inverse of `state`."""
        weights = {k[6:]: torch.from_numpy(v) for k, v in arrays.items() if k.startswith("model.")}
        self.model.load_state_dict(weights)
        moments: dict[int, dict[str, torch.Tensor]] = {}
        for key, value in arrays.items():
            if key.startswith("adam."):
                _, index, name = key.split(".")
                moments.setdefault(int(index), {})[name] = torch.from_numpy(value.copy())
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": moments, "param_groups": groups})
        self.epoch, self.history = meta["epoch"], list(meta["history"])


def pretrain_projections(
    pairs: PairedFeatures,
    judge: Callable[[Projections], dict[str, float]],
    config: PretrainConfig,
    journal: Journal,
    state_fingerprint: str,
) -> tuple[Projections, list[dict[str, float]]]:
    """Learn the projections; a killed run goes on from its last saved epoch.

    What is kept, and when to stop before the last epoch, is decided by the validation pairs.

    Args:
        pairs: training features.
        judge: metrics of the projections on validation pairs, by name, after an epoch.
        state_fingerprint: of config, code and features; state under another one is not used.
    Returns: projections on raw pooled features, and one history row an epoch.
    """
    training = LockedTraining(pairs, config)
    kept = journal.load_state(STATE, state_fingerprint)
    if kept is not None:
        training.restore(*kept)
    history = training.history
    if config.epochs == 0:
        start = training.model.folded()
        return start, [starting_row(start, judge)]
    with journal.counting("pretrain", config.epochs, "epoch") as bar:
        bar.update(training.epoch)
        while training.epoch < config.epochs and not is_over(history, config.patience_epochs):
            row = _epoch_row(training, judge)
            history.append(row)
            live = {f"pretrain/{key}": value for key, value in row.items() if key != "epoch"}
            journal.log_metrics(live, step=training.epoch)
            bar.update(1)
            bar.set_postfix_str(f"loss {row['loss']:.3f}")
            if config.keep == "best" and is_best(history):
                journal.save_state(BEST, state_fingerprint, *training.state())
            over = training.epoch == config.epochs or is_over(history, config.patience_epochs)
            if over or training.epoch % config.checkpoint_every_epochs == 0:
                journal.save_state(STATE, state_fingerprint, *training.state())
    restore_best(training, config.keep, journal, BEST, state_fingerprint)
    return training.model.folded(), history


def starting_row(
    projections: Projections, judge: Callable[[Projections], dict[str, float]]
) -> dict[str, float]:
    """The history's row of projections before the first step."""
    nothing = {"epoch": 0, "step": 0, "loss": math.nan, "lr": 0.0, "pairs_per_s": math.nan}
    return {**nothing, "logit_scale": math.exp(projections.logit_scale), **judge(projections)}


def _epoch_row(
    training: LockedTraining, judge: Callable[[Projections], dict[str, float]]
) -> dict[str, float]:
    start = time.perf_counter()
    loss = training.run_epoch()
    elapsed_s = time.perf_counter() - start
    step = training.epoch * training.steps_per_epoch
    config = training.config
    due = is_due(training.epoch, config.epochs, config.evaluate_every_epochs)
    return {
        "epoch": training.epoch,
        "step": step,
        "loss": loss,
        "lr": training.lr(step - 1),
        "logit_scale": float(training.model.logit_scale.detach().exp()),
        **(judge(training.model.folded()) if due else {}),
        "pairs_per_s": len(training.pairs.text) / elapsed_s,
    }
