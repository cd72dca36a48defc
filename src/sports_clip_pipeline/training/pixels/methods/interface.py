"""What a method that trains through the tower decides; the loop is the same for all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import timm
import torch
from torch import nn
from torch.nn import functional

from sports_clip_pipeline.models.image_towers import load_image_tower, timm_tower
from sports_clip_pipeline.pipelines.finetune.config import EndToEndConfig
from sports_clip_pipeline.training.methods.interface import TextAnchors
from sports_clip_pipeline.training.pixels.classifier import PixelClassifier
from sports_clip_pipeline.training.pixels.prompts import ClassPrompts

State = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Start:
    """What there is before the first label.

    Attributes:
        tower: name of the packaged image tower.
        anchors: the classes' text anchors, with the image projection.
        prompts: of the classes, with the text projection.
        clip_weights: state dict of the tower where contrastive pretraining trained it; empty for
            the packaged one.
    """

    tower: str
    anchors: TextAnchors
    prompts: ClassPrompts
    clip_weights: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def classes(self) -> int:
        """C."""
        return len(self.anchors.anchors)

    def pretrained(self) -> nn.Module:
        """The tower with ImageNet weights."""
        return load_image_tower(self.tower)

    def zero_shot(self) -> nn.Module:
        """The tower of the contrastive model; with ImageNet weights where it was locked."""
        tower = self.pretrained()
        if self.clip_weights:
            weights = {name: torch.tensor(value) for name, value in self.clip_weights.items()}
            tower.load_state_dict(weights)
        return tower

    def random(self, seed: int) -> nn.Module:
        """The tower as it is before any training; the global random state is left as it was."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            tower: nn.Module = timm.create_model(timm_tower(self.tower).architecture)
        return tower


@dataclass(frozen=True)
class Batch:
    """One step's photographs.

    Attributes:
        pixels: (B, 3, H, W) float32. target: (B,) int64.
        rng: of what the method draws itself.
    """

    pixels: torch.Tensor
    target: torch.Tensor
    rng: np.random.Generator


def smoothed_cross_entropy(
    model: PixelClassifier, batch: Batch, config: EndToEndConfig
) -> torch.Tensor:
    """Cross-entropy with a share of the target spread evenly over all classes.

    Source: Szegedy et al. 2016 (Inception v2), section 7.
    """
    logits = model(batch.pixels)
    return functional.cross_entropy(logits, batch.target, label_smoothing=config.label_smoothing)


def trained_alone(start: State, trained: State, config: EndToEndConfig) -> dict[str, State]:
    """The trained weights, with nothing to choose."""
    return {"": trained}


def pretrained_rate(config: EndToEndConfig) -> float:
    """The rate of full training from pretrained weights."""
    return config.peak_lr


@dataclass(frozen=True)
class PixelMethod:
    """A recipe.

    Attributes:
        build: the classifier at its start; what it trains requires a gradient.
        loss: of a batch.
        peak_lr: AdamW's highest rate.
        candidates: weights to choose from on held-out labelled photographs, from those at the
            start and those at the end, by name.
        describe: hyper-parameters of a candidate.
        finish: what turns the trained tower into one of the packaged architecture.
        statistics: of batch norms: `auto` (kept below `freeze_batch_norm_below` labels), `train`,
            `kept`.
        settings: fields of the configuration that only some methods read, and this one does.
        uses_text: whether the start depends on the class texts.
    """

    build: Callable[[Start, EndToEndConfig, int], PixelClassifier]
    loss: Callable[[PixelClassifier, Batch, EndToEndConfig], torch.Tensor] = smoothed_cross_entropy
    peak_lr: Callable[[EndToEndConfig], float] = pretrained_rate
    candidates: Callable[[State, State, EndToEndConfig], dict[str, State]] = trained_alone
    describe: Callable[[str], dict[str, Any]] = lambda name: {}
    finish: Callable[[nn.Module], None] = lambda tower: None
    statistics: str = "auto"
    settings: tuple[str, ...] = ()
    uses_text: bool = True
