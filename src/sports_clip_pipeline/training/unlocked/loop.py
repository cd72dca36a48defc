"""Contrastive training through unlocked towers, from projections learned over locked ones.

First the projections over locked towers, then everything that is unlocked, at a small rate: towers
under random projections would forget what they know (Kumar et al. 2022, LP-FT). A tower that
stays locked is not run: its features are read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any

import numpy as np
import torch

from sports_clip_pipeline.objectives import find_objective
from sports_clip_pipeline.pipelines.pretrain.config import PretrainConfig
from sports_clip_pipeline.preprocessing.images import ImagePreprocessing
from sports_clip_pipeline.training.locked import MAX_LOGIT_SCALE
from sports_clip_pipeline.training.schedule import warmup_cosine
from sports_clip_pipeline.training.unlocked.averaging import MovingAverage
from sports_clip_pipeline.training.unlocked.blocks import (
    compile_unlocked,
    decay_groups,
    set_modes,
    unlock,
)
from sports_clip_pipeline.training.unlocked.caching import Chunk, backward_in_chunks
from sports_clip_pipeline.training.unlocked.encoder import PairEncoder
from sports_clip_pipeline.training.unlocked.group import Group
from sports_clip_pipeline.training.unlocked.learned import (
    learned_arrays,
    seeded,
    take_learned_arrays,
)
from sports_clip_pipeline.training.unlocked.pairs import TowerPairs
from sports_clip_pipeline.training.unlocked.precision import Compute
from sports_clip_pipeline.training.unlocked.views import draw_crops, read_squares, to_pixels

# Epochs draw from (seed, stream, epoch); the locked ones from (seed, epoch).
_STREAM = 1
_EVALUATED = 128
ALONE = Group()

# Told of each step its number, its pairs and its loss (a tensor on the device); true stops there.
Watch = Callable[[int, int, torch.Tensor], bool]


class TowerTraining:
    """The loop's moving parts: model, optimiser, scaler, history; resumable after any step.

    Everything random in an epoch comes from (seed, epoch), and in a step from a seed that the epoch
    drew for it, so the epoch and the number of its steps are all that must be known of the sampler
    and of the random states.

    Args:
        model: open_clip's `CustomTextCLIP` with the projections to start from; is trained.
        preprocessing: what the image tower sees of a photograph.
        group: the processes that train together; this one by default.

    Attributes:
        epoch: epochs done. step: steps done of the one at hand. history: a row an epoch.
    """

    def __init__(
        self,
        model: Any,
        pairs: TowerPairs,
        preprocessing: ImagePreprocessing,
        config: PretrainConfig,
        compute: Compute,
        group: Group = ALONE,
    ) -> None:
        self.config, self.pairs, self.compute, self.group = config, pairs, compute, group
        self.preprocessing, self.objective = preprocessing, find_objective(config.loss)
        model.visual.to(memory_format=torch.channels_last)
        self.model = model.to(compute.device)
        self.unlocked = unlock(
            self.model, config.unlocked_image_blocks, config.unlocked_text_blocks,
            config.freeze_batch_norm, self.objective.biased,
        )  # fmt: skip
        if compute.compiled:
            compile_unlocked(self.model, self.unlocked)
        self.bare = PairEncoder(self.model, self.unlocked, compute)
        self.encoder = group.wrapped(self.bare)
        self.optimizer = torch.optim.AdamW(
            decay_groups(self.model, config.weight_decay),
            lr=config.encoder_peak_lr, betas=(0.9, 0.98), fused=compute.device == "cuda",
        )  # fmt: skip
        self.average = MovingAverage(self.model, self.unlocked.names, config.ema_decay)
        self.scaler = compute.scaler()
        self.image_width = int(pairs.features.image.shape[1])
        self.captions = pairs.features.captions_of()
        self.steps_per_epoch = max(1, round(len(pairs) / config.encoder_batch_size))
        self.epoch, self.step = 0, 0
        self.history: list[dict[str, float]] = []
        self._losses: list[torch.Tensor] = []

    @property
    def pairs_per_epoch(self) -> int:
        """Captions that an epoch draws."""
        most = self.config.captions_per_image
        return sum(min(most, len(rows)) for rows in self.captions)

    @property
    def pairs_done(self) -> int:
        """Captions drawn so far, over all epochs; of an epoch at hand, by its share of steps."""
        return round((self.epoch + self.step / self.steps_per_epoch) * self.pairs_per_epoch)

    def run_epoch(self, watch: Watch = lambda step, pairs, loss: False) -> float | None:
        """One pass over the images in a new order, or the rest of one that was left.

        Returns: the mean loss of all its steps; None where `watch` stopped it before its end.
        """
        rng = np.random.default_rng([self.config.seed, _STREAM, self.epoch])
        order = np.array_split(rng.permutation(len(self.pairs)), self.steps_per_epoch)
        drawn = [self._draw_captions(images, rng) for images in order]
        seeds = rng.integers(2**62, size=len(order))
        pixels = self._training_pixels(order, rng)
        set_modes(self.model, self.config.encoder_dropout, self.config.freeze_batch_norm)
        while self.step < len(order):
            number, step = self.step, self.epoch * self.steps_per_epoch + self.step
            images, captions = order[number], drawn[number]
            with seeded(self.compute.device, int(seeds[number]) + self.group.rank):
                self._losses.append(self._step(step, images, captions, next(pixels)))
            self.step += 1
            stop = watch(step, sum(len(rows) for rows in captions), self._losses[-1])
            if stop and self.step < len(order):
                return None
        mean = float(torch.stack(self._losses).mean())
        self.epoch, self.step, self._losses = self.epoch + 1, 0, []
        return mean

    def lr(self, step: int) -> float:
        """The learning rate of a step."""
        steps = self.config.encoder_epochs * self.steps_per_epoch
        return warmup_cosine(step, steps, self.config.encoder_peak_lr, self.config.warmup_share)

    def embed(self, pairs: TowerPairs) -> tuple[np.ndarray, np.ndarray]:
        """Unit-norm embeddings of all images (N, P) and captions (M, P) of a split, float32."""
        self.model.eval()
        images, texts = np.arange(len(pairs)), np.arange(len(pairs.features.text))
        blocks = [images[i : i + _EVALUATED] for i in range(0, len(images), _EVALUATED)]
        pixels: Iterator[torch.Tensor | None] = iter([None] * len(blocks))
        if self.unlocked.image:
            batches = [(pairs.rows[block], None) for block in blocks]
            pixels = self._pixels(pairs, batches)
        with torch.inference_mode():
            image = [self.bare.images(pairs, block, next(pixels)) for block in blocks]
            text = [
                self.bare.texts(pairs, texts[i : i + _EVALUATED])
                for i in range(0, len(texts), _EVALUATED)
            ]
        return torch.cat(image).cpu().numpy(), torch.cat(text).cpu().numpy()

    def _draw_captions(self, images: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
        most = self.config.captions_per_image
        return [rng.permutation(self.captions[n])[:most] for n in images]

    def _step(
        self, step: int, images: np.ndarray, captions: list[np.ndarray], pixels: Any
    ) -> torch.Tensor:
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr(step)
        self.optimizer.zero_grad(set_to_none=True)
        loss = self._backward(images, captions, pixels)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        with torch.no_grad():
            self.model.logit_scale.clamp_(0.0, MAX_LOGIT_SCALE)
        self.average.update(step)
        return loss

    def _backward(
        self, images: np.ndarray, captions: list[np.ndarray], pixels: torch.Tensor | None
    ) -> torch.Tensor:
        """Add a batch's gradients, in as many chunks as asked; its loss, detached.

        Args:
            images: of the whole batch. captions: of each of them.
            pixels: of this process's part.
        """
        each = [len(rows) for rows in captions]
        owner = torch.from_numpy(np.repeat(np.arange(len(images)), each)).to(self.compute.device)
        parts = [
            Group(rank, self.group.count).part(len(images)) for rank in range(self.group.count)
        ]
        of_images = [len(part) for part in parts]
        of_texts = [sum(each[n] for n in part) for part in parts]

        def loss_of(
            image_emb: torch.Tensor, text_emb: torch.Tensor, *learned: torch.Tensor
        ) -> torch.Tensor:
            scale, *rest = learned or self.bare.scale()
            bias = rest[0] if rest else None
            image_all = self.group.gathered(image_emb, of_images)
            text_all = self.group.gathered(text_emb, of_texts)
            return self.objective.loss(image_all, text_all, owner, scale, bias)

        chunks = self._chunks(images, captions, pixels)
        if self.config.encoder_accumulation > 1:
            device, scaled = self.compute.device, self.scaler.scale
            waiting = getattr(self.encoder, "no_sync", nullcontext)
            return backward_in_chunks(self.model, chunks, loss_of, scaled, device, waiting)
        loss = loss_of(*chunks[0]())
        self.scaler.scale(loss).backward()
        return loss.detach()

    def _chunks(
        self, images: np.ndarray, captions: list[np.ndarray], pixels: torch.Tensor | None
    ) -> list[Chunk]:
        """The process's part of a batch, in chunks of even size but for an image more or less."""
        mine = self.group.part(len(images))
        count = min(self.config.encoder_accumulation, len(mine))

        def run(part: np.ndarray) -> tuple[torch.Tensor, ...]:
            seen = None if pixels is None else pixels[part[0] - mine[0] : part[-1] + 1 - mine[0]]
            encoder = self.encoder if torch.is_grad_enabled() else self.bare
            texts = np.concatenate([captions[n] for n in part])
            embedded: tuple[torch.Tensor, ...] = encoder(self.pairs, images[part], texts, seen)
            return embedded

        return [partial(run, part) for part in np.array_split(mine, count)]

    def _training_pixels(
        self, order: Sequence[np.ndarray], rng: np.random.Generator
    ) -> Iterator[torch.Tensor | None]:
        """Pixels of the steps that are left of an epoch."""
        if not self.unlocked.image:
            return iter([None] * len(order))
        batches = []
        for images in order:
            mine, crops = self.group.part(len(images)), draw_crops(len(images), rng)
            batches.append((self.pairs.rows[images[mine]], [crops[n] for n in mine]))
        return self._pixels(self.pairs, batches[self.step :])

    def _pixels(self, pairs: TowerPairs, batches: Sequence[Any]) -> Iterator[torch.Tensor]:
        for squares in read_squares(pairs.store, batches, self.preprocessing):
            yield to_pixels(squares, self.preprocessing, self.compute.device)

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Everything needed to go on: changed weights, their average, moments, position, history.

        AdamW's moments and the scaler's state are among it. No generator is: each is made anew,
        from the seed and the position.
        """
        arrays = learned_arrays(self.model, self.optimizer, self.unlocked.names)
        meta = {
            "epoch": self.epoch,
            "step": self.step,
            "losses": [float(loss) for loss in self._losses],
            "history": list(self.history),
            "scaler": self.scaler.state_dict(),
        }
        return arrays | self.average.arrays(), meta

    def restore(self, arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
        """The inverse of `state`."""
        take_learned_arrays(self.model, self.optimizer, arrays)
        self.average.take(arrays)
        self.scaler.load_state_dict(meta["scaler"])
        self.epoch, self.step, self.history = meta["epoch"], meta["step"], list(meta["history"])
        self._losses = [torch.tensor(loss, device=self.compute.device) for loss in meta["losses"]]
