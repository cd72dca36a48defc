"""What image towers know of ImageNet: their own 1,000-class heads, and its classes."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from timm.data import ImageNetInfo

from sports_clip_pipeline.models.image_towers import load_image_tower

CLASSES = 1000


def imagenet_classifier(tower: str) -> tuple[np.ndarray, np.ndarray]:
    """The 1,000-class head of an image tower.

    Returns: weight (1000, D) and bias (1000,), float32: `features @ weight.T + bias` are the
        tower's own logits, in the order of `imagenet_names`.
    Raises: UserFacingError: unknown tower, or its package is missing.
    """
    model: Any = load_image_tower(tower)
    head = model.get_classifier()
    return head.weight.detach().numpy().copy(), head.bias.detach().numpy().copy()


def imagenet_names() -> list[str]:
    """The 1,000 classes in words: synonyms, with commas between, such as "tench, Tinca tinca".

    Source: the WordNet lemmas that timm carries, in ILSVRC 2012's order.
    """
    return list(_info().label_descriptions(detailed=False))


def imagenet_definitions() -> list[str]:
    """The 1,000 classes as WordNet defines them, such as "freshwater dace-like game fish …"."""
    names, detailed = imagenet_names(), _info().label_descriptions(detailed=True)
    return [text.removeprefix(f"{name}: ") for name, text in zip(names, detailed, strict=True)]


@cache
def _info() -> Any:
    return ImageNetInfo("imagenet-1k")
