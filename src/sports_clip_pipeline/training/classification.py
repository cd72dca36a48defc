"""End-to-end image classification: encoder with a trainable head, and its training task."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from timm.optim import param_groups_weight_decay
from torch import nn
from torch.nn import functional

from sports_clip_pipeline.clip.folder import WEIGHTS, trained_encoders
from sports_clip_pipeline.clip.pretrained import Pretrained
from sports_clip_pipeline.data.captions import pad
from sports_clip_pipeline.data.class_bank import ClassBank
from sports_clip_pipeline.data.transforms import ImageTransform
from sports_clip_pipeline.encoders.backends import EncoderProgram, build_backend
from sports_clip_pipeline.encoders.text_encoders import caption_tokenizer
from sports_clip_pipeline.io.fingerprint import file_sha256
from sports_clip_pipeline.machine import cores
from sports_clip_pipeline.pipelines.end_to_end.config import EndToEndConfig
from sports_clip_pipeline.predictor.head import Head, Operation
from sports_clip_pipeline.training.images import random_resized_crops, to_pixels
from sports_clip_pipeline.training.trainer import Step, set_train_mode

MAX_LOGIT_SCALE = math.log(100.0)
_PROMPT_BATCH = 64


@dataclass(frozen=True)
class ClassPrompts:
    """Prompts of the classes, and their features by the text encoder, before any projection.

    Attributes:
        texts: M prompts.
        class_index: (M,) int64 in [0, C); the class of each.
        text_encoder: name of the text encoder.
        context_length: tokens a prompt may have.
        text_weight: (P, E) projection of its pooled features, as pretrained.
        clip_folder: the CLIP folder whose text encoder is used where it was trained; None for
            the packaged one.
    """

    texts: tuple[str, ...]
    class_index: np.ndarray
    text_encoder: str
    context_length: int
    text_weight: np.ndarray
    clip_folder: Path | None = None

    @property
    def encoder_fingerprint(self) -> str:
        """Of the trained text encoder; empty for the packaged one."""
        if self.clip_folder is None or "text" not in trained_encoders(self.clip_folder):
            return ""
        return file_sha256(self.clip_folder / WEIGHTS)

    @cached_property
    def features(self) -> np.ndarray:
        """(M, E) float32 pooled text features; computed when first used."""
        ids = caption_tokenizer(self.text_encoder, self.context_length)(list(self.texts)).ids
        program = EncoderProgram("text", self.text_encoder, Path(), clip_folder=self.clip_folder)
        backend = build_backend(program, "torch", cores())
        blocks = [ids[i : i + _PROMPT_BATCH] for i in range(0, len(ids), _PROMPT_BATCH)]
        return np.concatenate([backend(*pad(block))[0] for block in blocks])


def prompts_of(
    bank: ClassBank,
    text_encoder: str,
    context_length: int,
    text_weight: np.ndarray,
    clip_folder: Path | None = None,
) -> ClassPrompts:
    """Every template with every name, and the sentences, of every class."""
    texts = [(text, c) for c, label in enumerate(bank.labels) for text in bank.prompts(label)]
    class_index = np.array([c for _, c in texts], dtype=np.int64)
    prompts = tuple(text for text, _ in texts)
    return ClassPrompts(
        prompts, class_index, text_encoder, context_length, text_weight, clip_folder
    )


class ImageClassifier(nn.Module):
    """Pixels (B, 3, H, W) to logits (B, C).

    Attributes:
        encoder: a timm model; its own 1,000-class head is neither used nor trained.
        head: one of the heads below.
    """

    def __init__(self, encoder: Any, head: nn.Module) -> None:
        super().__init__()
        self.encoder: Any = encoder
        self.head: Any = head
        for parameter in encoder.get_classifier().parameters():
            parameter.requires_grad_(False)

    def features(self, pixels: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) to pooled features (B, D)."""
        pooled: torch.Tensor = self.encoder.forward_head(
            self.encoder.forward_features(pixels), pre_logits=True
        )
        return pooled

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) to (B, C)."""
        logits: torch.Tensor = self.head(self.features(pixels))
        return logits


class LinearHead(nn.Module):
    """A new linear layer that starts at zero: every class equally probable."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, classes)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(B, D) to (B, C)."""
        logits: torch.Tensor = self.linear(features)
        return logits

    def exported(self) -> Head:
        """The same as operations over pooled features."""
        return Head((_affine(self.linear.weight, self.linear.bias),))


class TextHead(nn.Module):
    """The zero-shot head: pretrained projection, unit norm, zero-shot class weights.

    Source: Wortsman et al. 2022, section 3 (a classifier initialised with the text features).
    """

    def __init__(self, anchors: Pretrained) -> None:
        super().__init__()
        self.projection = projection_of(anchors)
        scaled = anchors.zero_shot_weights * np.float32(anchors.logit_scale)
        self.weight = nn.Parameter(torch.tensor(scaled, dtype=torch.float32))  # (C, P)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(B, D) to (B, C)."""
        return functional.normalize(self.projection(features), dim=1) @ self.weight.T

    def exported(self) -> Head:
        """The same as operations over pooled features."""
        embed = _affine(self.projection.weight, self.projection.bias)
        return Head((embed, Operation("l2_normalise"), _affine(self.weight)))


class ContrastiveHead(nn.Module):
    """Image and text projections of the contrastive model, over frozen text features.

    A class's weight is the unit-norm mean of its prompts' unit-norm embeddings.
    """

    text_features: torch.Tensor
    membership: torch.Tensor

    def __init__(self, anchors: Pretrained, prompts: ClassPrompts) -> None:
        super().__init__()
        self.projection = projection_of(anchors)
        self.text = nn.Linear(prompts.text_weight.shape[1], len(prompts.text_weight), bias=False)
        with torch.no_grad():
            self.text.weight.copy_(torch.tensor(prompts.text_weight))
        self.logit_scale = nn.Parameter(torch.tensor(math.log(anchors.logit_scale)))
        features = torch.tensor(prompts.features)  # (M, E)
        self.register_buffer("text_features", features, persistent=False)
        member = np.eye(len(anchors.zero_shot_weights), dtype=np.float32)[
            prompts.class_index
        ]  # (M, C)
        shares = torch.tensor(member / member.sum(axis=0)).T.contiguous()  # (C, M)
        self.register_buffer("membership", shares, persistent=False)

    def embed(self, features: torch.Tensor) -> torch.Tensor:
        """(B, D) to unit-norm image embeddings (B, P)."""
        return functional.normalize(self.projection(features), dim=1)

    def embed_prompts(self, rows: torch.Tensor) -> torch.Tensor:
        """Rows (B,) of the prompts to unit-norm text embeddings (B, P)."""
        return functional.normalize(self.text(self.text_features[rows]), dim=1)

    def scale(self) -> torch.Tensor:
        """Scale of cosines, (), at most 100."""
        return self.logit_scale.clamp(0.0, MAX_LOGIT_SCALE).exp()

    def class_weights(self) -> torch.Tensor:
        """Scaled class weights (C, P) of the present text projection."""
        embedded = functional.normalize(self.text(self.text_features), dim=1)  # (M, P)
        return functional.normalize(self.membership @ embedded, dim=1) * self.scale()

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(B, D) to (B, C)."""
        return self.embed(features) @ self.class_weights().T

    def exported(self) -> Head:
        """The same as operations over pooled features."""
        embed = _affine(self.projection.weight, self.projection.bias)
        return Head((embed, Operation("l2_normalise"), _affine(self.class_weights())))


def projection_of(anchors: Pretrained) -> nn.Linear:
    """The pretrained image projection as a trainable layer."""
    space, width = anchors.image_weight.shape
    layer = nn.Linear(width, space)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(anchors.image_weight))
        layer.bias.copy_(torch.tensor(anchors.image_bias))
    return layer


def pooled_image_features(
    encoder: Any,
    images: np.ndarray,
    preprocessing: ImageTransform,
    views: Sequence[str],
    batch: int = 64,
) -> np.ndarray:
    """Pooled features of whole images, means over the views (test-time augmentation).

    Args:
        encoder: a timm model; put in eval mode.
        images: (N, S, S, 3) uint8.
        views: of `full` and `full_flip`.
    Returns: (N, D) float32.
    """
    encoder = encoder.eval().to(memory_format=torch.channels_last)
    device = next(encoder.parameters()).device
    rows = []
    with torch.inference_mode():
        for start in range(0, len(images), batch):
            pixels = to_pixels(images[start : start + batch], preprocessing).to(device)
            inputs = [pixels.flip(3) if view.endswith("_flip") else pixels for view in views]
            maps = [encoder.forward_features(view) for view in inputs]  # (B, K, h, w) each
            pooled = [encoder.forward_head(view, pre_logits=True) for view in maps]  # (B, D) each
            rows.append(torch.stack(pooled).mean(dim=0).cpu().numpy())
    return np.concatenate(rows)


@dataclass(frozen=True)
class LabelledImages:
    """What one run trains on.

    Attributes:
        images: (N, S, S, 3) uint8, of all development images.
        rows: (n,) int64 into `images`; those of this run.
        target: (n,) int64 classes.
        preprocessing: whose mean and std the encoder wants.
    """

    images: np.ndarray
    rows: np.ndarray
    target: np.ndarray
    preprocessing: ImageTransform


@dataclass(frozen=True)
class Batch:
    """One step's images.

    Attributes:
        pixels: (B, 3, H, W) float32. target: (B,) int64.
        rng: of what a loss draws itself.
    """

    pixels: torch.Tensor
    target: torch.Tensor
    rng: np.random.Generator


class ClassificationTask:
    """End-to-end classification: random resized crops of labelled images, one epoch of all steps.

    Everything random in a step comes from (seed, step).

    Args:
        loss: of the model and a batch.
        freeze_batch_norm: batch norms keep the statistics they came with.
    """

    unit = "image"

    def __init__(
        self,
        model: ImageClassifier,
        loss: Callable[[ImageClassifier, Batch], torch.Tensor],
        labelled: LabelledImages,
        config: EndToEndConfig,
        seed: int,
        device: str,
        freeze_batch_norm: bool,
    ) -> None:
        self.model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.loss, self.labelled, self.config, self.seed = loss, labelled, config, seed
        self.device, self.freeze_batch_norm = device, freeze_batch_norm
        self.steps_per_epoch = steps_for(
            len(labelled.rows), config.batch_size, config.epochs, config.min_steps
        )
        self.epoch_size = self.steps_per_epoch * config.batch_size

    def param_groups(self) -> list[dict[str, Any]]:
        """Matrices and kernels decay, vectors do not; a head that starts at zero learns faster."""
        decay, head = self.config.weight_decay, self.model.head
        scale = self.config.head_lr_factor if isinstance(head, LinearHead) else 1.0
        of_head = param_groups_weight_decay(head, decay)
        return [
            *param_groups_weight_decay(self.model.encoder, decay),
            *({**group, "lr_scale": scale} for group in of_head),
        ]

    def set_train_mode(self) -> None:
        """Training mode; batch norms as configured."""
        set_train_mode(self.model, freeze_batch_norm=self.freeze_batch_norm)

    def batches(self, epoch: int, first: int) -> Iterator[Step]:
        """Random resized crops of the images whose turn it is."""
        labelled, config = self.labelled, self.config
        for number in range(first, self.steps_per_epoch):
            rng = np.random.default_rng([self.seed, 3, number])
            seed = int(rng.integers(2**62))
            rows = rows_of_step(number, config.batch_size, len(labelled.rows), self.seed)
            whole = to_pixels(labelled.images[labelled.rows[rows]], labelled.preprocessing)
            pixels = random_resized_crops(whole, config.image_size, config.crop_area, rng)
            target = torch.from_numpy(labelled.target[rows])
            batch = Batch(pixels.to(self.device), target.to(self.device), rng)
            yield Step(batch, config.batch_size, seed)

    def backward(self, inputs: Batch, scaler: torch.amp.GradScaler) -> torch.Tensor:
        """Add the gradients of a batch's loss; the loss, detached."""
        loss = self.loss(self.model, inputs)
        scaler.scale(loss).backward()
        return loss.detach()

    def after_step(self) -> None:
        """Nothing: no weight is constrained."""

    def epoch_values(self, model: Any) -> dict[str, float]:
        """None."""
        return {}

    def evaluate(self, model: Any) -> dict[str, float]:
        """None: held-out images are evaluated once, at the end."""
        return {}


def rows_of_step(step: int, size: int, count: int, seed: int) -> np.ndarray:
    """The rows of a step's batch: consecutive places in an endless row of shuffled passes.

    It depends on nothing but its arguments, so a run continued at a step draws what it would have.

    Args:
        step: from 0. size: of the batch. count: rows there are.
    Returns: (size,) int64 in [0, count).
    """
    places = np.arange(step * size, (step + 1) * size)
    rows = np.empty(size, dtype=np.int64)
    for shuffle in np.unique(places // count):
        order = np.random.default_rng([seed, 2, int(shuffle)]).permutation(count)
        here = places // count == shuffle
        rows[here] = order[places[here] % count]
    return rows


def steps_for(count: int, batch_size: int, epochs: int, least: int) -> int:
    """Steps of a run over `count` images: the epochs, but no fewer than `least`.

    >>> steps_for(640, 64, 8, 50)
    80
    """
    return max(least, round(epochs * count / batch_size))


def _affine(weight: torch.Tensor, bias: torch.Tensor | None = None) -> Operation:
    kernel = weight.detach().cpu().numpy().astype(np.float32).copy()
    offset = np.zeros(len(kernel), np.float32)
    if bias is not None:
        offset = bias.detach().cpu().numpy().astype(np.float32).copy()
    return Operation("affine", {"weight": kernel, "bias": offset})
