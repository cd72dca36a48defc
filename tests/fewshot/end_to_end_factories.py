"""A toy end-to-end study: three kinds of stripes and flat fields, in colours."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import timm
import torch
from PIL import Image
from torch import nn

from sports_clip_pipeline.clip.projections import Pretrained
from sports_clip_pipeline.data.class_bank import ClassBank
from sports_clip_pipeline.data.image_store import ImageStore, write_index, write_shard
from sports_clip_pipeline.encoders.image_encoders import image_preprocessing
from sports_clip_pipeline.fewshot.end_to_end_methods import Start
from sports_clip_pipeline.fewshot.end_to_end_study import EndToEndStudy
from sports_clip_pipeline.io.state import RunState
from sports_clip_pipeline.pipelines.finetune.config import EndToEndConfig
from sports_clip_pipeline.training.classification import ClassPrompts
from sports_clip_pipeline.training.images import DecodedImages
from tests.fewshot.factories import splits_of, unit

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
    """Prompts with random features, without a text encoder."""

    @property
    def features(self) -> np.ndarray:  # type: ignore[override]
        rng = np.random.default_rng(7)
        return rng.normal(size=(len(self.texts), TEXT_WIDTH)).astype(np.float32)


def pretrained(width: int = 1280) -> Pretrained:
    rng = np.random.default_rng(1)
    points = unit(rng.normal(size=(CLASSES, SPACE)))
    weight = (rng.normal(size=(SPACE, width)) / np.sqrt(width)).astype(np.float32)
    return Pretrained(points, 10.0, weight, (rng.normal(size=SPACE) / 10).astype(np.float32))


def prompts() -> ClassPrompts:
    weight = np.random.default_rng(2).normal(size=(SPACE, TEXT_WIDTH)).astype(np.float32)
    names = [[f"thing {c}", f"item {c}"] for c in range(CLASSES)]
    classes = [{"label": f"class {c}", "names": own} for c, own in enumerate(names)]
    return TinyPrompts(ClassBank(templates="a {}.", classes=classes), "minilm", 16, weight)


def start(width: int = 1280) -> Start:
    return Start("lite0", pretrained(width), prompts())


class VitStart(Start):
    """A start whose encoder is a vision transformer of two blocks with random weights."""

    def imagenet_encoder(self) -> nn.Module:
        return tiny_vit()


def vit_start() -> Start:
    return VitStart("lite0", pretrained(16), prompts())


def tiny_vit() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return timm.create_model(
            "vit_tiny_patch16_224",
            img_size=32, patch_size=8, depth=2, embed_dim=16, num_heads=2, num_classes=4,
        )  # fmt: skip


def toy_images(count: int, seed: int = 0) -> tuple[list[Image.Image], np.ndarray]:
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
    folder.mkdir(parents=True, exist_ok=True)
    jpegs = []
    for image in images:
        sink = io.BytesIO()
        image.save(sink, "JPEG", quality=95)
        jpegs.append(sink.getvalue())
    names = [f"{i}.jpg" for i in range(len(images))]
    shard = write_shard(folder / "shard-00000.arrow", names, jpegs)
    write_index(folder, [{**shard, "dropped": []}])
    return ImageStore(folder)


def study(
    folder: Path,
    state: RunState,
    count: int = 18,
    config: EndToEndConfig = FAST,
    begin: Start | None = None,
    **changes: object,
) -> EndToEndStudy:
    """A study over `count` images, stored in `folder`, with other fields replaced."""
    images, target = toy_images(count)
    preprocessing = image_preprocessing("lite0", config.test_size, "full")
    decoded = DecodedImages(
        image_store(folder, images), np.arange(count), [f"{i:064x}" for i in range(count)],
        preprocessing, state, "development",
    )  # fmt: skip
    made = EndToEndStudy(decoded, target, splits_of(target), begin or start())
    return replace(made, **changes)
