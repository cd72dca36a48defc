"""Contrastive pretraining: projections over frozen encoders, then unlocked encoders (LiT, CLIP).

Frozen encoders are not run: their cached features are read, so an epoch over Flickr8k costs a
fraction of a second (Zhai et al. 2022, LiT, with both encoders locked).
Unlocked encoders start from the projections learned there, at a small learning rate: under random
projections they would forget what they know (Kumar et al. 2022, LP-FT).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np
import torch
from timm.optim import param_groups_weight_decay
from torch import nn
from torch.nn import functional

from sports_clip_pipeline.clip.losses import find_objective
from sports_clip_pipeline.clip.model import encoder_prefixes
from sports_clip_pipeline.clip.projections import (
    IMAGE,
    TEXT,
    Projections,
    build_head,
    first_layer,
    projections_of,
)
from sports_clip_pipeline.data.transforms import ImageTransform
from sports_clip_pipeline.io.state import Journal
from sports_clip_pipeline.pipelines.pretrain.config import PretrainConfig
from sports_clip_pipeline.training.distributed import ALONE, Processes
from sports_clip_pipeline.training.gradient_cache import Chunk, backward_in_chunks
from sports_clip_pipeline.training.image_text_pairs import PairedFeatures, PairedImages
from sports_clip_pipeline.training.images import draw_crops, read_images, to_pixels
from sports_clip_pipeline.training.precision import Compute
from sports_clip_pipeline.training.trainer import Step, Trainer, TrainSettings, set_train_mode
from sports_clip_pipeline.training.unlock import PairEncoder, Unlocked, unlock

FROZEN_STATE = "pretrain/frozen"
UNLOCKED_STATE = "pretrain/unlocked"
MAX_LOGIT_SCALE = math.log(100.0)
# Unlocked epochs draw from (seed, stream, epoch); frozen ones from (seed, epoch).
_STREAM = 1
_EVALUATED = 128

Metrics = dict[str, float]
EvaluateProjections = Callable[[Projections], Metrics]
# From validation embeddings (N, P), (M, P) and the image (M,) of each caption.
EvaluateEmbeddings = Callable[[np.ndarray, np.ndarray, np.ndarray], Metrics]


class Projector(nn.Module):
    """Standardised features to the shared space; folds into plain projections at the end."""

    mean: torch.Tensor
    scale: torch.Tensor
    text_scale: torch.Tensor

    def __init__(self, pairs: PairedFeatures, config: PretrainConfig) -> None:
        super().__init__()
        image, text = np.asarray(pairs.image), np.asarray(pairs.text)
        self.register_buffer("mean", torch.from_numpy(image.mean(axis=0)))
        # One scale for all features: scaling each to unit variance blows up the rare ones, and
        # cost 2 points of R@5 on Flickr8k validation.
        self.register_buffer("scale", torch.tensor(float(image.std()) + 1e-6))
        self.register_buffer("text_scale", torch.tensor(float(np.sqrt((text**2).mean()))))
        kind, space = config.projections, config.embed_dim
        # Features are dropped by a generator of their own; a head's dropout waits for the encoders.
        self.image = build_head(kind, pairs.image.shape[1], space, bias=True).eval()
        self.text = build_head(kind, pairs.text.shape[1], space, bias=False).eval()
        self.logit_scale = nn.Parameter(torch.tensor(-math.log(config.initial_temperature)))
        images = min(config.batch_size, len(pairs.image))
        bias = find_objective(config.loss).starting_bias(images)
        self.logit_bias = None if bias is None else nn.Parameter(torch.tensor(bias))

    def standardise(self, image: np.ndarray, text: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Pooled features (N, D), (M, E) with the training split's mean and spread taken out."""
        images, texts = torch.from_numpy(image), torch.from_numpy(text)
        return (images - self.mean) / self.scale, texts / self.text_scale

    def forward(self, image: torch.Tensor, text: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Standardised features (N, D), (M, E) to unit-norm embeddings (N, P), (M, P)."""
        image_emb = functional.normalize(self.image(image), dim=1)
        return image_emb, functional.normalize(self.text(text), dim=1)

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


class ContrastiveTask:
    """What frozen and unlocked encoders share: captions of a batch, scale, optimizer groups.

    Attributes:
        captions: for each image, the rows of its captions.
    """

    unit = "pair"
    model: Any

    def __init__(self, pairs: PairedFeatures, batch_size: int, config: PretrainConfig) -> None:
        self.config, self.objective = config, find_objective(config.loss)
        self.captions = pairs.captions_of()
        self.steps_per_epoch = max(1, round(len(pairs.image) / batch_size))
        most = config.captions_per_image
        self.epoch_size = sum(min(most, len(rows)) for rows in self.captions)

    def param_groups(self) -> list[dict[str, Any]]:
        """Matrices and kernels decay, vectors and the scale do not."""
        groups: list[dict[str, Any]] = param_groups_weight_decay(
            self.model, self.config.weight_decay
        )
        return groups

    def after_step(self) -> None:
        """Keep the scale of cosines within 1 to 100, as CLIP does."""
        with torch.no_grad():
            self.model.logit_scale.clamp_(0.0, MAX_LOGIT_SCALE)

    def epoch_values(self, model: Any) -> Metrics:
        """The scale of cosines."""
        return {"logit_scale": float(model.logit_scale.detach().exp())}

    def draw_captions(self, images: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
        """Captions drawn for each image, without replacement."""
        return [rng.permutation(self.captions[n])[: self.config.captions_per_image] for n in images]


class FrozenTask(ContrastiveTask):
    """Projections over the features of frozen encoders."""

    def __init__(
        self, pairs: PairedFeatures, evaluate: EvaluateProjections, config: PretrainConfig
    ) -> None:
        super().__init__(pairs, config.batch_size, config)
        torch.manual_seed(config.seed)
        self.pairs, self._evaluate = pairs, evaluate
        self.model = Projector(pairs, config)

    def set_train_mode(self) -> None:
        """Nothing: features are dropped by a generator of their own."""

    def batches(self, epoch: int, first: int) -> Iterator[Step]:
        """Features of the images in a new order, each with captions of its own."""
        rng = np.random.default_rng([self.config.seed, epoch])
        noise = torch.Generator().manual_seed(int(rng.integers(2**62)))
        order = np.array_split(rng.permutation(len(self.pairs.image)), self.steps_per_epoch)
        for number, images in enumerate(order):
            captions = self.draw_captions(images, rng)
            sides = self.model.standardise(
                self._image_features(images, rng), self.pairs.text[np.concatenate(captions)]
            )
            image, text = (self._augment(side, noise) for side in sides)
            if number >= first:
                index = torch.from_numpy(_image_index(captions))
                yield Step((image, text, index), len(text), number)

    def backward(self, inputs: Any, scaler: torch.amp.GradScaler) -> torch.Tensor:
        """Add the gradients of a batch's loss; the loss, detached."""
        image, text, image_index = inputs
        image_emb, text_emb = self.model(image, text)
        scale = self.model.logit_scale.exp()
        loss = self.objective.loss(image_emb, text_emb, image_index, scale, self.model.logit_bias)
        scaler.scale(loss).backward()
        return loss.detach()

    def evaluate(self, model: Any) -> Metrics:
        """Metrics of the projections on validation pairs."""
        return self._evaluate(model.folded())

    def _image_features(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Features (B, D) of the images; with views of their own, of a random one for each."""
        views = self.pairs.views
        if not views:
            return self.pairs.image[images]
        drawn = rng.integers(len(views), size=len(images))
        features = np.empty((len(images), views[0].shape[1]), np.float32)
        for number, view in enumerate(views):
            features[drawn == number] = view[images[drawn == number]]
        return features

    def _augment(self, values: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Features with noise and dropout."""
        noise, dropout = self.config.feature_noise, self.config.feature_dropout
        if noise:
            values = values + noise * torch.randn(values.shape, generator=generator)
        if dropout:
            kept = torch.rand(values.shape, generator=generator) >= dropout
            values = values * kept / (1.0 - dropout)
        return values


class UnlockedTask(ContrastiveTask):
    """Projections and the unlocked blocks of either encoder, from images and tokens.

    Args:
        model: open_clip's `CustomTextCLIP` with the projections to start from; is trained.
        preprocessing: the image encoder's input.
    """

    def __init__(
        self,
        model: Any,
        train: PairedImages,
        validation: PairedImages,
        evaluate: EvaluateEmbeddings,
        preprocessing: ImageTransform,
        config: PretrainConfig,
        compute: Compute,
        processes: Processes = ALONE,
    ) -> None:
        super().__init__(train.features, config.encoder_batch_size, config)
        self.train, self.validation, self._evaluate = train, validation, evaluate
        self.preprocessing, self.compute, self.processes = preprocessing, compute, processes
        model.visual.to(memory_format=torch.channels_last)
        self.model = model.to(compute.device)
        self.unlocked: Unlocked = unlock(
            self.model, config.unlocked_image_blocks, config.unlocked_text_blocks,
            self.objective.biased,
        )  # fmt: skip
        self._bare = PairEncoder(self.model, self.unlocked, compute)
        self._encoder = processes.wrap(self._bare)
        if compute.compiled:
            for part, runs in (
                (model.visual, self.unlocked.image),
                (model.text, self.unlocked.text),
            ):
                if runs:
                    part.compile()

    def set_train_mode(self) -> None:
        """Dropout and batch norms of what is unlocked, as configured."""
        frozen = self.config.freeze_batch_norm
        set_train_mode(self.model, self.config.encoder_dropout, frozen)

    def batches(self, epoch: int, first: int) -> Iterator[Step]:
        """Images in a new order, randomly cropped, each with captions of its own."""
        rng = np.random.default_rng([self.config.seed, _STREAM, epoch])
        order = np.array_split(rng.permutation(len(self.train)), self.steps_per_epoch)
        drawn = [self.draw_captions(images, rng) for images in order]
        seeds = rng.integers(2**62, size=len(order))
        pixels: Iterator[torch.Tensor | None] = iter([None] * (len(order) - first))
        if self.unlocked.image:
            crops = [draw_crops(len(images), rng) for images in order]
            shards = [self.processes.shard(len(images)) for images in order]
            read = [
                (self.train.rows[images[shard]], [crop[n] for n in shard])
                for images, shard, crop in zip(order, shards, crops, strict=True)
            ]
            pixels = self._pixels(self.train, read[first:])
        for number in range(first, len(order)):
            captions, seed = drawn[number], int(seeds[number]) + self.processes.rank
            inputs = (order[number], captions, next(pixels))
            yield Step(inputs, sum(map(len, captions)), seed)

    def backward(self, inputs: Any, scaler: torch.amp.GradScaler) -> torch.Tensor:
        """Add the gradients of a batch's loss, in chunks where asked; the loss, detached.

        Args:
            inputs: images (B,) of the whole batch, captions of each of them, and the pixels of
                this process's shard.
        """
        images, captions, pixels = inputs
        each = [len(rows) for rows in captions]
        image_index = torch.from_numpy(_image_index(captions)).to(self.compute.device)
        shards = self.processes.shards(len(images))
        image_sizes = [len(shard) for shard in shards]
        text_sizes = [sum(each[n] for n in shard) for shard in shards]

        def loss_of(
            image_emb: torch.Tensor, text_emb: torch.Tensor, *learned: torch.Tensor
        ) -> torch.Tensor:
            scale, *rest = learned or self._bare.scale()
            image_all = self.processes.gather(image_emb, image_sizes)
            text_all = self.processes.gather(text_emb, text_sizes)
            bias = rest[0] if rest else None
            return self.objective.loss(image_all, text_all, image_index, scale, bias)

        chunks = self._chunks(images, captions, pixels)
        if self.config.encoder_accumulation > 1:
            no_sync = getattr(self._encoder, "no_sync", nullcontext)
            return backward_in_chunks(
                self.model, chunks, loss_of, scaler.scale, self.compute.device, no_sync
            )
        loss = loss_of(*chunks[0]())
        scaler.scale(loss).backward()
        return loss.detach()

    def evaluate(self, model: Any) -> Metrics:
        """Metrics of the validation embeddings."""
        return self._evaluate(
            *self.embed(self.validation, model), self.validation.features.image_index
        )

    def embed(self, pairs: PairedImages, model: Any) -> tuple[np.ndarray, np.ndarray]:
        """Unit-norm embeddings of all images (N, P) and captions (M, P) of a split, float32."""
        model.eval()
        encoder = PairEncoder(model, self.unlocked, self.compute)
        images, texts = _blocks(len(pairs)), _blocks(len(pairs.features.text))
        pixels: Iterator[torch.Tensor | None] = iter([None] * len(images))
        if self.unlocked.image:
            pixels = self._pixels(pairs, [(pairs.rows[block], None) for block in images])
        with torch.inference_mode():
            image_emb = [encoder.images(pairs, block, next(pixels)) for block in images]
            text_emb = [encoder.texts(pairs, block) for block in texts]
        return torch.cat(image_emb).cpu().numpy(), torch.cat(text_emb).cpu().numpy()

    def _chunks(
        self, images: np.ndarray, captions: list[np.ndarray], pixels: torch.Tensor | None
    ) -> list[Chunk]:
        """The process's shard of a batch, in chunks of even size but for an image more or less."""
        shard = self.processes.shard(len(images))
        count = min(self.config.encoder_accumulation, len(shard))

        def run(part: np.ndarray) -> tuple[torch.Tensor, ...]:
            first, last = part[0] - shard[0], part[-1] + 1 - shard[0]
            encoder = self._encoder if torch.is_grad_enabled() else self._bare
            texts = np.concatenate([captions[n] for n in part])
            seen = None if pixels is None else pixels[first:last]
            embedded: tuple[torch.Tensor, ...] = encoder(self.train, images[part], texts, seen)
            return embedded

        return [partial(run, part) for part in np.array_split(shard, count)]

    def _pixels(self, pairs: PairedImages, batches: list[Any]) -> Iterator[torch.Tensor]:
        for images in read_images(pairs.store, batches, self.preprocessing):
            yield to_pixels(images, self.preprocessing, self.compute.device)


@dataclass(frozen=True)
class TrainedEncoders:
    """What training with unlocked encoders gives.

    Attributes:
        projections: on the pooled features of the trained encoders.
        weights: entries of the CLIP model's state dict below the projections that were trained.
        history: one row an epoch.
    """

    projections: Projections
    weights: dict[str, np.ndarray]
    history: list[dict[str, float]]


def pretrain_projections(
    pairs: PairedFeatures,
    evaluate: EvaluateProjections,
    config: PretrainConfig,
    journal: Journal,
    state_fingerprint: str,
) -> tuple[Projections, list[dict[str, float]]]:
    """Learn the projections over frozen encoders; a killed run goes on from its last checkpoint.

    The best epoch and early stopping are decided by the validation pairs.

    Args:
        pairs: training features.
        evaluate: metrics of the projections on validation pairs, by name, after an epoch.
        state_fingerprint: of config, code and features; state under another one is not used.
    Returns: projections on raw pooled features, and one history row an epoch.
    """
    task = FrozenTask(pairs, evaluate, config)
    if config.epochs == 0:
        start = task.model.folded()
        return start, [starting_row(start, evaluate)]
    trainer = Trainer(task, frozen_settings(config))
    _fit(trainer, journal, FROZEN_STATE, state_fingerprint, "pretrain")
    return task.model.folded(), trainer.history


def train_encoders(
    task: UnlockedTask, journal: Journal, state_fingerprint: str, steps_before: int = 0
) -> TrainedEncoders:
    """Train what is unlocked; a killed run goes on from its last checkpoint.

    Args:
        state_fingerprint: of all that the result depends on; state under another one is not used.
        steps_before: of the pass over frozen encoders; the history counts on from there.
    Raises: KeyboardInterrupt, SystemExit: a signal came; a checkpoint is saved first.
    """
    settings = unlocked_settings(task.config, task.compute, steps_before)
    trainer = Trainer(task, settings, task.compute, task.processes)
    _fit(trainer, journal, UNLOCKED_STATE, state_fingerprint, "pretrain encoders", log_steps=True)
    entries = trainer.averaged.state_dict()
    state = {name: entries[name].cpu().contiguous().numpy() for name in trainer.changing}
    # A pair of open_clip's own ends in the shared space by itself.
    pair = task.config.projections == "none"
    width = int(task.train.features.image.shape[1]) if pair else 0
    prefixes = encoder_prefixes(pair=pair)
    weights = {name: value for name, value in state.items() if name.startswith(prefixes)}
    return TrainedEncoders(projections_of(state, width), weights, trainer.history)


def frozen_settings(config: PretrainConfig) -> TrainSettings:
    """How projections over frozen encoders are trained."""
    return TrainSettings(
        epochs=config.epochs,
        peak_lr=config.peak_lr,
        warmup_share=config.warmup_share,
        checkpoint_every_epochs=config.checkpoint_every_epochs,
        evaluate_every_epochs=config.evaluate_every_epochs,
        keep=config.keep,
        patience_epochs=config.patience_epochs,
    )


def unlocked_settings(
    config: PretrainConfig, compute: Compute, steps_before: int = 0
) -> TrainSettings:
    """How unlocked encoders are trained; epochs and steps count on from those over frozen ones."""
    return TrainSettings(
        epochs=config.encoder_epochs,
        peak_lr=config.encoder_peak_lr,
        warmup_share=config.warmup_share,
        ema_decay=config.ema_decay,
        fused=compute.device == "cuda",
        checkpoint_every_steps=config.checkpoint_every_steps,
        evaluate_every_epochs=config.evaluate_every_epochs,
        keep=config.keep,
        patience_epochs=config.patience_epochs,
        epochs_before=config.epochs,
        steps_before=steps_before,
    )


def starting_row(projections: Projections, evaluate: EvaluateProjections) -> Metrics:
    """The history's row of projections before the first step."""
    empty = {"epoch": 0, "step": 0, "loss": math.nan, "lr": 0.0, "pairs_per_s": math.nan}
    return {**empty, "logit_scale": math.exp(projections.logit_scale), **evaluate(projections)}


def contrastive_modules() -> list[ModuleType]:
    """The modules whose code trained encoders depend on, for fingerprints."""
    training = (
        "contrastive", "distributed", "gradient_cache", "image_text_pairs", "images", "precision",
        "trainer", "unlock",
    )  # fmt: skip
    clip = ("losses", "model", "projections")
    return [
        *(import_module(f"sports_clip_pipeline.training.{name}") for name in training),
        *(import_module(f"sports_clip_pipeline.clip.{name}") for name in clip),
    ]


def _fit(
    trainer: Trainer,
    journal: Journal,
    key: str,
    fingerprint: str,
    description: str,
    log_steps: bool = False,
) -> None:
    """Train under a progress bar, with live metrics of epochs and of a hundred steps."""
    total = trainer.settings.epochs * trainer.task.epoch_size
    every = max(1, trainer.steps // 100)
    with journal.counting(description, total, "pair") as bar:
        shown = 0

        def on_step(trainer: Trainer, pairs: int, loss: torch.Tensor) -> None:
            nonlocal shown
            bar.update(trainer.examples_done - shown)
            shown = trainer.examples_done
            step = trainer.steps_done - 1
            if step % every == 0:
                bar.set_postfix_str(f"loss {float(loss):.3f}")
                if log_steps:
                    journal.log_metrics({"pretrain/step_loss": float(loss)}, step=step)

        def on_epoch(row: dict[str, float]) -> None:
            live = {f"pretrain/{name}": value for name, value in row.items() if name != "epoch"}
            journal.log_metrics(live, step=int(row["epoch"]))

        trainer.fit(journal, key, fingerprint, on_step, on_epoch)


def _image_index(captions: list[np.ndarray]) -> np.ndarray:
    """(M,) int64; the image of the batch that each caption describes."""
    return np.repeat(np.arange(len(captions)), [len(rows) for rows in captions])


def _blocks(count: int) -> list[np.ndarray]:
    rows = np.arange(count)
    return [rows[start : start + _EVALUATED] for start in range(0, count, _EVALUATED)]
