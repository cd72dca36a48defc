"""Contrastive pretraining: projections over frozen encoders, then unlocked encoders (LiT, CLIP).

Frozen encoders are not run: their cached features are read (Zhai et al. 2022, LiT, with both
encoders locked). Unlocked encoders start from these projections at a small learning rate, since
random projections would distort their features (Kumar et al. 2022, LP-FT).
"""

import math
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from itertools import repeat
from typing import Any, NamedTuple

import numpy as np
import torch
from timm.optim import param_groups_weight_decay

from sports_clip_pipeline.clip.losses import MAX_LOGIT_SCALE, OBJECTIVES
from sports_clip_pipeline.clip.model import encoder_prefixes
from sports_clip_pipeline.clip.projections import Projections, projections_of
from sports_clip_pipeline.data.transforms import ImageTransform
from sports_clip_pipeline.io.state import RunState
from sports_clip_pipeline.pipelines.pretrain.config import PretrainConfig
from sports_clip_pipeline.training.distributed import SINGLE_PROCESS, Compute, Processes
from sports_clip_pipeline.training.gradient_cache import Chunk, backward_in_chunks
from sports_clip_pipeline.training.image_text_pairs import ImageTextPairs, PairEncoder, Projector
from sports_clip_pipeline.training.images import draw_crops, read_images, to_pixels
from sports_clip_pipeline.training.trainer import Step, Task, Trainer, TrainSettings
from sports_clip_pipeline.training.unlock import unlock

FROZEN_STATE = "pretrain/frozen"
UNLOCKED_STATE = "pretrain/unlocked"
# Unlocked epochs draw from (seed, stream, epoch), frozen ones from (seed, epoch).
_STREAM = 1
_EVALUATION_BATCH = 128

Metrics = dict[str, float]
EvaluateProjections = Callable[[Projections], Metrics]
# Of validation embeddings (N, P), (M, P) and the image index (M,) of the captions.
EvaluateEmbeddings = Callable[[np.ndarray, np.ndarray, np.ndarray], Metrics]


class ContrastiveTask(Task):
    """Base class of contrastive tasks: caption sampling, logit scale, optimizer groups.

    The images of an epoch are divided evenly among the fewest steps of at most `batch_size`: none
    is left out, and no step is larger.
    """

    unit = "pair"

    def __init__(
        self, pairs: ImageTextPairs, config: PretrainConfig, batch_size: int, **settings: Any
    ) -> None:
        self.config, self.objective = config, OBJECTIVES[config.loss]
        shared = {"warmup_share", "evaluate_every_epochs", "keep", "patience_epochs"}
        self.settings = TrainSettings(**config.model_dump(include=shared), **settings)
        self.captions = pairs.captions_of()
        self.steps_per_epoch = math.ceil(len(pairs.image) / batch_size)
        most = config.captions_per_image
        self.epoch_size = sum(min(most, len(rows)) for rows in self.captions)

    def param_groups(self) -> list[dict[str, Any]]:
        """Weight decay for matrices and kernels only."""
        return list(param_groups_weight_decay(self.model, self.config.weight_decay))

    def after_step(self) -> None:
        """Clamp the logit scale to [1, 100], as CLIP does."""
        with torch.no_grad():
            self.model.logit_scale.clamp_(0.0, MAX_LOGIT_SCALE)

    def epoch_values(self, model: Any) -> Metrics:
        """The logit scale."""
        return {"logit_scale": float(model.logit_scale.detach().exp())}

    def draw_captions(self, images: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
        """Caption rows sampled for each image, without replacement."""
        return [rng.permutation(self.captions[n])[: self.config.captions_per_image] for n in images]


class FrozenTask(ContrastiveTask):
    """Projections over the cached features of frozen encoders."""

    def __init__(
        self, pairs: ImageTextPairs, evaluate: EvaluateProjections, config: PretrainConfig
    ) -> None:
        super().__init__(
            pairs,
            config,
            config.batch_size,
            epochs=config.epochs,
            peak_lr=config.peak_lr,
            dropout=False,
            checkpoint_every_epochs=config.checkpoint_every_epochs,
        )
        torch.manual_seed(config.seed)
        self.pairs, self._evaluate = pairs, evaluate
        self.model = Projector(pairs, config)

    def batches(self, epoch: int, first: int) -> Iterator[Step]:
        """Shuffled image features with those of sampled captions, augmented."""
        rng = np.random.default_rng([self.config.seed, epoch])
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        order = np.array_split(rng.permutation(len(self.pairs.image)), self.steps_per_epoch)
        for number, images in enumerate(order):
            captions = self.draw_captions(images, rng)
            features = self._image_features(images, rng), self.pairs.text[np.concatenate(captions)]
            image, text = (
                self._augment(side, generator) for side in self.model.standardise(*features)
            )
            if number >= first:
                yield Step((image, text, _image_index(captions)), number)

    def loss(self, inputs: Any) -> torch.Tensor:
        """Contrastive loss of features (N, D), (M, E) and the captions' image index (M,)."""
        image, text, image_index = inputs
        scale, bias = self.model.logit_scale.exp(), self.model.logit_bias
        image_emb, text_emb = self.model(image, text)
        return self.objective.loss(image_emb, text_emb, image_index, scale, bias)

    def evaluate(self, model: Any) -> Metrics:
        """Metrics of the projections on validation pairs."""
        return self._evaluate(model.folded())

    def _image_features(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Features (B, D) of the images; of a random view for each where views are given."""
        if not self.pairs.views:
            return self.pairs.image[images]
        view = rng.integers(len(self.pairs.views), size=len(images))
        features = np.stack([features[images] for features in self.pairs.views])  # (V, B, D)
        return np.asarray(features[view, np.arange(len(images))])

    def _augment(self, values: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Gaussian noise and dropout of features."""
        noise, dropout = self.config.feature_noise, self.config.feature_dropout
        if noise:
            values = values + noise * torch.randn(values.shape, generator=generator)
        if dropout:
            mask = torch.rand(values.shape, generator=generator) >= dropout
            values = values * mask / (1.0 - dropout)
        return values


class UnlockedTask(ContrastiveTask):
    """Projections and unlocked encoder blocks of open_clip's model, from images and tokens.

    The history counts from `steps_before`, the steps over frozen encoders.
    """

    def __init__(
        self,
        model: Any,
        train: ImageTextPairs,
        validation: ImageTextPairs,
        evaluate: EvaluateEmbeddings,
        preprocessing: ImageTransform,
        config: PretrainConfig,
        compute: Compute,
        processes: Processes = SINGLE_PROCESS,
        steps_before: int = 0,
    ) -> None:
        super().__init__(
            train,
            config,
            config.encoder_batch_size,
            epochs=config.encoder_epochs,
            peak_lr=config.encoder_peak_lr,
            ema_decay=config.ema_decay,
            fused=compute.device == "cuda",
            dropout=config.encoder_dropout,
            freeze_batch_norm=config.freeze_batch_norm,
            checkpoint_every_steps=config.checkpoint_every_steps,
            epochs_before=config.epochs,
            steps_before=steps_before,
        )
        self.train, self.validation, self._evaluate = train, validation, evaluate
        self.preprocessing, self.compute, self.processes = preprocessing, compute, processes
        model.visual.to(memory_format=torch.channels_last)
        self.model = model.to(compute.device)
        blocks = config.unlocked_image_blocks, config.unlocked_text_blocks
        unlock(self.model, *blocks, self.objective.biased)
        self._encoder = PairEncoder(self.model, config, compute)
        self._wrapped = processes.wrap(self._encoder)
        for part, count in zip((model.visual, model.text), blocks, strict=True):
            if compute.compiled and count:
                part.compile()

    def batches(self, epoch: int, first: int) -> Iterator[Step]:
        """Shuffled images, randomly cropped, with sampled captions."""
        rng = np.random.default_rng([self.config.seed, _STREAM, epoch])
        order = np.array_split(rng.permutation(len(self.train.image)), self.steps_per_epoch)
        captions = [self.draw_captions(images, rng) for images in order]
        seeds = rng.integers(2**62, size=len(order))
        shards = []
        for images in order:
            crops, shard = draw_crops(len(images), rng), self.processes.shard(len(images))
            shards.append((images[shard], [crops[n] for n in shard]))
        pixels = self._pixels(self.train, shards[first:])
        for number in range(first, len(order)):
            inputs = (order[number], captions[number], next(pixels))
            yield Step(inputs, int(seeds[number]) + self.processes.rank)

    def backward(self, inputs: Any, scaler: torch.amp.GradScaler) -> torch.Tensor:
        """Accumulate the gradients of a batch's loss, in chunks if configured.

        `inputs` are images (B,) of the whole batch, caption rows of each, and the shard's pixels.
        """
        images, captions, pixels = inputs
        counts = [len(rows) for rows in captions]
        image_index = _image_index(captions).to(self.compute.device)
        shards = self.processes.shards(len(images))
        image_sizes = [len(shard) for shard in shards]
        text_sizes = [sum(counts[n] for n in shard) for shard in shards]

        def loss_of(
            image_emb: torch.Tensor, text_emb: torch.Tensor, *scale_and_bias: torch.Tensor
        ) -> torch.Tensor:
            scale, *bias = scale_and_bias or self._encoder.scale()
            image_all = self.processes.gather(image_emb, image_sizes)
            text_all = self.processes.gather(text_emb, text_sizes)
            return self.objective.loss(
                image_all, text_all, image_index, scale, bias[0] if bias else None
            )

        chunks = self._chunks(images, captions, pixels)
        if self.config.encoder_accumulation > 1:
            no_sync = getattr(self._wrapped, "no_sync", nullcontext)
            return backward_in_chunks(
                self.model, chunks, loss_of, scaler.scale, self.compute.device, no_sync
            )
        loss = loss_of(*chunks[0]())
        scaler.scale(loss).backward()
        return loss.detach()

    def evaluate(self, model: Any) -> Metrics:
        """Metrics of the validation embeddings."""
        return self._evaluate(*self.embed(self.validation, model), self.validation.image_index)

    def embed(self, pairs: ImageTextPairs, model: Any) -> tuple[np.ndarray, np.ndarray]:
        """Unit-norm embeddings of all images (N, P) and captions (M, P) of a split, float32."""
        model.eval()
        encoder = PairEncoder(model, self.config, self.compute)
        images, texts = (
            np.split(np.arange(count), range(_EVALUATION_BATCH, count, _EVALUATION_BATCH))
            for count in (len(pairs.image), len(pairs.text))
        )
        pixels = self._pixels(pairs, [(block, None) for block in images])
        with torch.inference_mode():
            image_emb = [encoder.images(pairs, block, next(pixels)) for block in images]
            text_emb = [encoder.texts(pairs, block) for block in texts]
        return torch.cat(image_emb).cpu().numpy(), torch.cat(text_emb).cpu().numpy()

    def _chunks(
        self, images: np.ndarray, captions: list[np.ndarray], pixels: torch.Tensor | None
    ) -> list[Chunk]:
        """Shard of a batch of this process, in chunks of equal size up to one image."""
        shard = self.processes.shard(len(images))
        chunks = np.array_split(shard, min(self.config.encoder_accumulation, len(shard)))
        texts = [np.concatenate([captions[n] for n in chunk]) for chunk in chunks]
        blocks = repeat(None) if pixels is None else pixels.split([*map(len, chunks)])
        inputs = zip((images[chunk] for chunk in chunks), texts, blocks, strict=False)
        return [partial(self._embed_chunk, *chunk) for chunk in inputs]

    def _embed_chunk(self, *inputs: Any) -> tuple[torch.Tensor, ...]:
        encoder = self._wrapped if torch.is_grad_enabled() else self._encoder
        return encoder(self.train, *inputs)

    def _pixels(
        self, pairs: ImageTextPairs, batches: list[Any]
    ) -> Iterator[torch.Tensor] | Iterator[None]:
        """Pixels of each batch of images (B,) and their crops; None for a frozen image encoder."""
        if self.config.unlocked_image_blocks == 0:
            return repeat(None)
        assert pairs.store is not None and pairs.rows is not None
        stored = [(pairs.rows[images], crops) for images, crops in batches]
        decoded = read_images(pairs.store, stored, self.preprocessing)
        return (to_pixels(images, self.preprocessing, self.compute.device) for images in decoded)


class TrainedEncoders(NamedTuple):
    """Projections, trained entries of the CLIP model's state dict, and one row per epoch."""

    projections: Projections
    weights: dict[str, np.ndarray]
    history: list[dict[str, float]]


def pretrain_projections(
    pairs: ImageTextPairs,
    evaluate: EvaluateProjections,
    config: PretrainConfig,
    run_state: RunState,
    state_fingerprint: str,
) -> tuple[Projections, list[dict[str, float]]]:
    """Train projections over frozen encoders, resuming from the last checkpoint.

    Checkpoints of another fingerprint (of config, code and features) are ignored.

    Returns: projections of raw pooled features, and one history row per epoch.
    """
    task = FrozenTask(pairs, evaluate, config)
    if config.epochs == 0:
        start = task.model.folded()
        return start, [starting_row(start, evaluate)]
    trainer = _fitted(task, run_state, FROZEN_STATE, state_fingerprint, "pretrain")
    return task.model.folded(), trainer.history


def train_encoders(
    task: UnlockedTask, run_state: RunState, state_fingerprint: str
) -> TrainedEncoders:
    """Train the unlocked blocks, resuming from the last checkpoint.

    Checkpoints of another fingerprint are ignored.

    Raises: KeyboardInterrupt, SystemExit: a signal came; a checkpoint is saved first.
    """
    trainer = _fitted(task, run_state, UNLOCKED_STATE, state_fingerprint, "pretrain encoders")
    entries = trainer.averaged.state_dict()
    state = {name: entries[name].cpu().contiguous().numpy() for name in trainer.changing}
    # A pair of open_clip's own ends in the shared space and has no projections.
    pair = task.config.projections == "none"
    width = int(task.train.image.shape[1]) if pair else 0
    prefixes = encoder_prefixes(pair=pair)
    weights = {name: value for name, value in state.items() if name.startswith(prefixes)}
    return TrainedEncoders(projections_of(state, width), weights, trainer.history)


def starting_row(projections: Projections, evaluate: EvaluateProjections) -> Metrics:
    """History row of projections before the first step."""
    row = {"epoch": 0, "step": 0, "loss": math.nan, "lr": 0.0, "pairs_per_s": math.nan}
    return {**row, "logit_scale": math.exp(projections.logit_scale), **evaluate(projections)}


def _fitted(
    task: ContrastiveTask, run_state: RunState, key: str, fingerprint: str, description: str
) -> Trainer:
    """Train with a progress bar and live metrics of epochs, and of every hundredth of the steps."""
    trainer = Trainer(task)
    every = max(1, trainer.steps // 100)

    def on_step(trainer: Trainer, loss: torch.Tensor) -> None:
        step = trainer.steps_done - 1
        if step % every == 0:
            bar.set_postfix_str(f"loss {float(loss):.3f}")
            if key == UNLOCKED_STATE:
                run_state.log_metrics({"pretrain/step_loss": float(loss)}, step=step)

    def on_epoch(row: dict[str, float]) -> None:
        metrics = {f"pretrain/{name}": value for name, value in row.items() if name != "epoch"}
        run_state.log_metrics(metrics, step=int(row["epoch"]))

    total = task.settings.epochs * task.epoch_size
    with run_state.progress_bar(description, total, "pair") as bar:
        trainer.fit(run_state, key, fingerprint, on_step, on_epoch, bar)
    return trainer


def _image_index(captions: list[np.ndarray]) -> torch.Tensor:
    """(M,) int64; the image of the batch that each caption describes."""
    counts = torch.tensor([len(rows) for rows in captions])
    return torch.repeat_interleave(torch.arange(len(captions)), counts)
