"""The whole tower from ImageNet weights with a new head: fine-tuning without language.

AdamW under a warm-up and a cosine, random resized crops and mirroring, label smoothing, and a
moving average of the weights.

Source: Kornblith et al. 2019 (Do better ImageNet models transfer better), section 4.2; Wightman
et al. 2021 (ResNet strikes back) for the recipe's parts.
"""

from __future__ import annotations

from sports_clip_pipeline.pipelines.finetune.config import EndToEndConfig
from sports_clip_pipeline.training.pixels.classifier import LinearHead, PixelClassifier
from sports_clip_pipeline.training.pixels.methods.interface import PixelMethod, Start


def build(start: Start, config: EndToEndConfig, seed: int) -> PixelClassifier:
    """ImageNet tower, new linear head."""
    head = LinearHead(start.anchors.image_weight.shape[1], start.classes)
    return PixelClassifier(start.pretrained(), head)


METHOD = PixelMethod(build, uses_text=False)
