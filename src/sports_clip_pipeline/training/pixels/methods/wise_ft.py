"""Weights between the zero-shot model and its fine-tuned self.

The whole model is fine-tuned from the zero-shot start; then every weight is taken at a point on the
line between both ends. Which point, held-out labelled photographs say. Batch norms keep ImageNet's
statistics, so that both ends agree on them.

Source: Wortsman et al. 2022 (Robust fine-tuning of zero-shot models), section 3, equation 1.
"""

from __future__ import annotations

from typing import Any

import torch

from sports_clip_pipeline.pipelines.finetune.config import EndToEndConfig
from sports_clip_pipeline.training.pixels.classifier import PixelClassifier, TextHead
from sports_clip_pipeline.training.pixels.methods.interface import PixelMethod, Start, State


def build(start: Start, config: EndToEndConfig, seed: int) -> PixelClassifier:
    """The zero-shot model."""
    return PixelClassifier(start.zero_shot(), TextHead(start.anchors))


def interpolate(start: State, trained: State, alpha: float) -> dict[str, torch.Tensor]:
    """(1 − alpha) · start + alpha · trained, entry by entry; whole numbers are the trained ones.

    Raises: ValueError: the two have other entries.
    """
    if start.keys() != trained.keys():
        raise ValueError(f"{sorted(start.keys() ^ trained.keys())[:3]} stand in one state alone")
    between = {}
    for name, end in trained.items():
        between[name] = end.clone()
        if end.is_floating_point() and alpha < 1.0:
            between[name] = (1.0 - alpha) * start[name] + alpha * end
    return between


def candidates(start: State, trained: State, config: EndToEndConfig) -> dict[str, State]:
    """The points to choose from, by their weight of the fine-tuned end."""
    return {str(alpha): interpolate(start, trained, alpha) for alpha in config.wise_alphas}


def describe(name: str) -> dict[str, Any]:
    """The weight of the fine-tuned end."""
    return {"alpha": float(name)}


METHOD = PixelMethod(
    build, candidates=candidates, describe=describe, statistics="kept", settings=("wise_alphas",)
)
