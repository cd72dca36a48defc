"""End-to-end image classification: encoder with a trainable head, and its training task."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from timm.optim import param_groups_weight_decay
from torch import nn
from torch.nn import functional

from sports_clip_pipeline.clip.folder import WEIGHTS, trained_encoders
from sports_clip_pipeline.clip.losses import MAX_LOGIT_SCALE
from sports_clip_pipeline.clip.projections import Pretrained
from sports_clip_pipeline.clip.zero_shot import text_features
from sports_clip_pipeline.data.class_bank import ClassBank
from sports_clip_pipeline.data.transforms import ImageTransform
from sports_clip_pipeline.encoders.image_encoders import pooled
from sports_clip_pipeline.io.fingerprint import file_sha256
from sports_clip_pipeline.pipelines.embed.config import TokenizeConfig
from sports_clip_pipeline.pipelines.finetune.config import EndToEndConfig
from sports_clip_pipeline.predictor.head import Head, Operation, affine
from sports_clip_pipeline.training.distributed import Compute
from sports_clip_pipeline.training.images import random_resized_crops, to_pixels
from sports_clip_pipeline.training.trainer import Step, Task, TrainSettings

_BATCH = 64  # of images whose features are computed


@dataclass(frozen=True)
class ClassPrompts:
    """Prompts of the classes, with their text features before projection.

    Attributes:
        bank: its prompts are used: each template with each name of a class, and the sentences.
        text_encoder: its name. context_length: maximal tokens of a prompt.
        text_weight: (P, E) pretrained projection of text features.
        clip_folder: CLIP folder with the trained text encoder, if any; None for the packaged one.
    """

    bank: ClassBank
    text_encoder: str
    context_length: int
    text_weight: np.ndarray
    clip_folder: Path | None = None

    @property
    def texts(self) -> list[str]:
        """M prompts, class by class."""
        return [text for label in self.bank.labels for text in self.bank.prompts(label)]

    @property
    def class_index(self) -> np.ndarray:
        """(M,) int64 in [0, C); the class of each prompt."""
        counts = [len(self.bank.prompts(label)) for label in self.bank.labels]
        return np.repeat(np.arange(len(counts)), counts)

    @property
    def encoder_fingerprint(self) -> str:
        """Fingerprint of the trained text encoder; empty for the packaged one."""
        if self.clip_folder is None or "text" not in trained_encoders(self.clip_folder):
            return ""
        return file_sha256(self.clip_folder / WEIGHTS)

    @cached_property
    def features(self) -> np.ndarray:
        """(M, E) float32 pooled text features, computed when first used."""
        tokenize = TokenizeConfig(context_length=self.context_length)
        return text_features(self.text_encoder, tokenize, self.clip_folder)(self.texts)


class ImageClassifier(nn.Module):
    """Image encoder with a classification head: pixels (B, 3, H, W) to logits (B, C).

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
        return pooled(self.encoder, pixels)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) to (B, C)."""
        return self.head(self.features(pixels))


def exported_linear(layer: nn.Linear) -> Operation:
    """A linear layer as an operation."""
    return affine(layer.weight.detach().numpy(), layer.bias.detach().numpy().copy())


class LinearHead(nn.Linear):
    """Linear layer initialised at zero: all classes are equally probable."""

    def __init__(self, pretrained: Pretrained) -> None:
        super().__init__(pretrained.image_weight.shape[1], len(pretrained.zero_shot_weights))
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)

    def exported(self) -> Head:
        """The head as operations on pooled features."""
        return Head((exported_linear(self),))


class ProjectionHead(nn.Module):
    """Base class: pretrained image projection, unit norm, and class weights as linear layer."""

    def __init__(self, pretrained: Pretrained) -> None:
        super().__init__()
        space, width = pretrained.image_weight.shape
        self.projection = nn.Linear(width, space)
        with torch.no_grad():
            self.projection.weight.copy_(torch.tensor(pretrained.image_weight))
            self.projection.bias.copy_(torch.tensor(pretrained.image_bias))

    def class_weights(self) -> torch.Tensor:
        """Scaled class weights (C, P)."""
        raise NotImplementedError

    def embed(self, features: torch.Tensor) -> torch.Tensor:
        """(B, D) to unit-norm image embeddings (B, P)."""
        return functional.normalize(self.projection(features), dim=1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(B, D) to (B, C)."""
        return self.embed(features) @ self.class_weights().T

    def exported(self) -> Head:
        """The head as operations on pooled features."""
        classes = affine(self.class_weights().detach().numpy())
        return Head((exported_linear(self.projection), Operation("l2_normalise"), classes))


class TextHead(ProjectionHead):
    """Zero-shot head: the class weights are initialised with zero-shot weights and trained.

    Source: Wortsman et al. 2022, section 3 (a classifier initialised with the text features).
    """

    def __init__(self, pretrained: Pretrained) -> None:
        super().__init__(pretrained)
        scaled = pretrained.zero_shot_weights * np.float32(pretrained.logit_scale)
        self.weight = nn.Parameter(torch.tensor(scaled, dtype=torch.float32))  # (C, P)

    def class_weights(self) -> torch.Tensor:
        """Scaled class weights (C, P)."""
        return self.weight


class ContrastiveHead(ProjectionHead):
    """Image and text projections of the contrastive model, over frozen text features.

    The weight of a class is the unit-norm mean of its prompts' unit-norm embeddings.
    """

    text_features: torch.Tensor
    membership: torch.Tensor

    def __init__(self, pretrained: Pretrained, prompts: ClassPrompts) -> None:
        super().__init__(pretrained)
        self.text = nn.Linear(prompts.text_weight.shape[1], len(prompts.text_weight), bias=False)
        with torch.no_grad():
            self.text.weight.copy_(torch.tensor(prompts.text_weight))
        self.logit_scale = nn.Parameter(torch.tensor(math.log(pretrained.logit_scale)))
        features = torch.tensor(prompts.features)  # (M, E)
        self.register_buffer("text_features", features, persistent=False)
        classes = np.eye(len(pretrained.zero_shot_weights), dtype=np.float32)
        member = classes[prompts.class_index]  # (M, C)
        shares = torch.tensor(member / member.sum(axis=0)).T.contiguous()  # (C, M)
        self.register_buffer("membership", shares, persistent=False)

    def embed_prompts(self, rows: torch.Tensor | slice = slice(None)) -> torch.Tensor:
        """Prompt rows (B,), or all M, to unit-norm text embeddings (B, P)."""
        return functional.normalize(self.text(self.text_features[rows]), dim=1)

    def scale(self) -> torch.Tensor:
        """Logit scale (), at most 100."""
        return self.logit_scale.clamp(0.0, MAX_LOGIT_SCALE).exp()

    def class_weights(self) -> torch.Tensor:
        """Scaled class weights (C, P) by the current text projection."""
        return functional.normalize(self.membership @ self.embed_prompts(), dim=1) * self.scale()


def pooled_image_features(
    encoder: Any, images: np.ndarray, preprocessing: ImageTransform, views: Sequence[str]
) -> np.ndarray:
    """Pooled features (N, D) float32 of images (N, S, S, 3) uint8 by a timm model.

    Averaged over `views`, of `full` and `full_flip` (test-time augmentation).
    """
    encoder = encoder.eval().to(memory_format=torch.channels_last)
    device = next(encoder.parameters()).device
    rows = []
    with torch.inference_mode():
        for start in range(0, len(images), _BATCH):
            pixels = to_pixels(images[start : start + _BATCH], preprocessing).to(device)
            inputs = [pixels.flip(3) if view.endswith("_flip") else pixels for view in views]
            features = [pooled(encoder, view) for view in inputs]  # (B, D) each
            rows.append(torch.stack(features).mean(dim=0).cpu().numpy())
    return np.concatenate(rows)


@dataclass(frozen=True)
class LabelledImages:
    """Labelled images: `rows` (n,) of `images` (N, S, S, 3) uint8, and their classes (n,) int64.

    The encoder's mean and standard deviation are those of `preprocessing`.
    """

    images: np.ndarray
    rows: np.ndarray
    target: np.ndarray
    preprocessing: ImageTransform


class Batch(NamedTuple):
    """Pixels (B, 3, H, W) float32, targets (B,) int64, and a generator for the loss."""

    pixels: torch.Tensor
    target: torch.Tensor
    rng: np.random.Generator


@dataclass(eq=False)
class ClassificationTask(Task):
    """End-to-end classification of randomly cropped images; all steps are one epoch.

    Random numbers of a step derive from (seed, step).
    """

    unit = "image"
    model: Any
    loss_of: Callable[[ImageClassifier, Batch], torch.Tensor]
    labelled: LabelledImages
    config: EndToEndConfig
    seed: int
    settings: TrainSettings
    compute: Compute

    def __post_init__(self) -> None:
        self.model = self.model.to(self.compute.device, memory_format=torch.channels_last)
        self.steps_per_epoch = steps_for(len(self.labelled.rows), self.config)
        self.epoch_size = self.steps_per_epoch * self.config.batch_size

    def param_groups(self) -> list[dict[str, Any]]:
        """Weight decay for matrices and kernels; a larger learning rate for a zero-init head."""
        decay, head = self.config.weight_decay, self.model.head
        scale = self.config.head_lr_factor if isinstance(head, LinearHead) else 1.0
        head_groups = param_groups_weight_decay(head, decay)
        return [
            *param_groups_weight_decay(self.model.encoder, decay),
            *({**group, "lr_scale": scale} for group in head_groups),
        ]

    def batches(self, epoch: int, first: int) -> Iterator[Step]:
        """Random resized crops of shuffled images."""
        labelled, config = self.labelled, self.config
        for number in range(first, self.steps_per_epoch):
            rng = np.random.default_rng([self.seed, 3, number])
            seed = int(rng.integers(2**62))
            rows = rows_of_step(number, config.batch_size, len(labelled.rows), self.seed)
            whole = to_pixels(labelled.images[labelled.rows[rows]], labelled.preprocessing)
            pixels = random_resized_crops(whole, config.image_size, config.crop_area, rng)
            target = torch.from_numpy(labelled.target[rows])
            device = self.compute.device
            yield Step(Batch(pixels.to(device), target.to(device), rng), seed)

    def loss(self, inputs: Batch) -> torch.Tensor:
        """Loss () of a batch."""
        return self.loss_of(self.model, inputs)


def rows_of_step(step: int, size: int, count: int, seed: int) -> np.ndarray:
    """Rows (size,) int64 in [0, count) of a step: a window of an endless series of permutations.

    A function of its arguments alone, so that a resumed run draws the same batches.
    """
    epochs, positions = np.divmod(np.arange(step * size, (step + 1) * size), count)
    rows = np.empty(size, dtype=np.int64)
    for epoch in np.unique(epochs):
        order = np.random.default_rng([seed, 2, int(epoch)]).permutation(count)
        rows[epochs == epoch] = order[positions[epochs == epoch]]
    return rows


def steps_for(count: int, config: EndToEndConfig) -> int:
    """Steps of a run over `count` images: the epochs, but no fewer than the least."""
    return max(config.min_steps, round(config.epochs * count / config.batch_size))
