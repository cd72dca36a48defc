"""The whole tower from random weights: what the photographs of the study teach on their own.

Source: He et al. 2019 (Rethinking ImageNet pre-training), the baseline without pretraining.
"""

from __future__ import annotations

from sports_clip_pipeline.pipelines.finetune.config import EndToEndConfig
from sports_clip_pipeline.training.pixels.classifier import LinearHead, PixelClassifier
from sports_clip_pipeline.training.pixels.methods.interface import PixelMethod, Start


def build(start: Start, config: EndToEndConfig, seed: int) -> PixelClassifier:
    """Random tower, new linear head."""
    tower = start.random(seed)
    return PixelClassifier(tower, LinearHead(start.anchors.image_weight.shape[1], start.classes))


METHOD = PixelMethod(
    build,
    peak_lr=lambda config: config.random_lr,
    statistics="train",
    settings=("random_lr",),
    uses_text=False,
)
