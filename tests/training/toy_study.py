"""A toy end-to-end study: three kinds of stripes and flat fields, in colours."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import timm
import torch
from PIL import Image
from torch import nn

from sports_clip_pipeline.clip.projections import Pretrained
from sports_clip_pipeline.data.image_store import ImageStore, write_index, write_shard
from sports_clip_pipeline.encoders.image_encoders import image_preprocessing
from sports_clip_pipeline.fewshot.end_to_end_methods import Start
from sports_clip_pipeline.fewshot.end_to_end_study import EndToEndStudy
from sports_clip_pipeline.io.state import RunState
from sports_clip_pipeline.pipelines.end_to_end.config import EndToEndConfig
from sports_clip_pipeline.training.classification import ClassPrompts
from sports_clip_pipeline.training.images import DecodedImages

CLASSES, SPACE, TEXT_WIDTH = 3, 6, 5
FAST = EndToEndConfig(
    methods=("full_imagenet",),
    fractions=(1.0,),
    image_size=32,
    test_size=40,
    batch_size=4,
    epochs=1,
    min_steps=4,
    checkpoint_every_steps=2,
    refit_below=0,
    held_out_share=0.2,
    wise_alphas=(0.0, 0.5, 1.0),
    threads=1,
    views=("full",),
)


class TinyPrompts(ClassPrompts):
    """Prompts whose features were made without a text tower."""

    @property
    def features(self) -> np.ndarray:  # type: ignore[override]
        rng = np.random.default_rng(7)
        return rng.normal(size=(len(self.texts), TEXT_WIDTH)).astype(np.float32)


def anchors(width: int = 1280) -> Pretrained:
    rng = np.random.default_rng(1)
    points = rng.normal(size=(CLASSES, SPACE))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    weight = rng.normal(size=(SPACE, width)) / np.sqrt(width)
    bias = rng.normal(size=SPACE) / 10
    return Pretrained(
        points.astype(np.float32), 10.0, weight.astype(np.float32), bias.astype(np.float32)
    )


def prompts() -> ClassPrompts:
    weight = np.random.default_rng(2).normal(size=(SPACE, TEXT_WIDTH)).astype(np.float32)
    texts = tuple(f"prompt {i}" for i in range(2 * CLASSES))
    return TinyPrompts(texts, np.repeat(np.arange(CLASSES), 2), "minilm", 16, weight)


def start(width: int = 1280) -> Start:
    return Start("lite0", anchors(width), prompts())


class VitStart(Start):
    """A start whose tower is a vision transformer of two blocks with random weights."""

    def pretrained(self) -> nn.Module:
        return tiny_vit()


def tiny_vit() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return timm.create_model(
            "vit_tiny_patch16_224",
            img_size=32, patch_size=8, depth=2, embed_dim=16, num_heads=2, num_classes=4,
        )  # fmt: skip


def pictures(count: int, seed: int = 0) -> tuple[list[Image.Image], np.ndarray]:
    """Noisy squares of 48 pixels: flat, upright stripes, lying stripes."""
    rng = np.random.default_rng(seed)
    target = np.arange(count) % CLASSES
    made = []
    for kind in target:
        waves = 110 + 90 * np.sign(np.sin(np.arange(48) * 0.8 + rng.uniform(0, 6)))
        field = np.full((48, 48), 110.0)
        field = {0: field, 1: np.tile(waves, (48, 1)), 2: np.tile(waves, (48, 1)).T}[int(kind)]
        colour = field[:, :, None] * rng.uniform(0.6, 1.0, 3) + rng.normal(0, 12, (48, 48, 3))
        made.append(Image.fromarray(colour.clip(0, 255).astype(np.uint8)))
    return made, target.astype(np.int64)


def image_store(folder: Path, images: list[Image.Image]) -> ImageStore:
    jpegs = []
    for image in images:
        sink = io.BytesIO()
        image.save(sink, "JPEG", quality=95)
        jpegs.append(sink.getvalue())
    names = [f"{i}.jpg" for i in range(len(images))]
    shard = write_shard(folder / "shard-00000.arrow", names, jpegs)
    write_index(folder, [{**shard, "dropped": []}])
    return ImageStore(folder)


def splits_of(target: np.ndarray) -> pd.DataFrame:
    table = pd.DataFrame(
        {
            "image": [f"{i}.jpg" for i in range(len(target))],
            "label": [f"class {c}" for c in target],
            "split": "development",
        }
    )
    for seed in range(5):
        shuffled = table.sample(frac=1.0, random_state=seed)
        table[f"rank_seed_{seed}"] = shuffled.groupby("label").cumcount()
    return table


def study(
    folder: Path,
    journal: RunState,
    count: int = 18,
    config: EndToEndConfig = FAST,
    begin: Start | None = None,
    change: Mapping[str, object] | None = None,
) -> EndToEndStudy:
    """A study over `count` pictures; `folder` keeps the store."""
    images, target = pictures(count)
    folder.mkdir(parents=True, exist_ok=True)
    store = image_store(folder, images)
    seen = image_preprocessing("lite0", config.test_size, "full")
    addresses = [f"{i:064x}" for i in range(count)]
    decoded = DecodedImages(store, np.arange(count), addresses, seen, journal, "development")
    made = EndToEndStudy(decoded, target, splits_of(target), begin or start())
    return dataclasses.replace(made, **(change or {}))
