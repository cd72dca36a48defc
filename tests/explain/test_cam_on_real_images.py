"""Maps of real images, tested by hiding parts of them."""

import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sports_clip_pipeline.encoders.image_encoders import image_preprocessing
from sports_clip_pipeline.explain.cam import class_activation_map, guided_gradients

RAW = Path(os.environ.get("SPORTS_CLIP_RAW_DIR", "data/01_raw/real"))
ARCHIVE = RAW / "sports.zip"
HALF_PATCH = 40  # pixels of the encoder's 224

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not ARCHIVE.is_file(), reason=f"no real images at {ARCHIVE}"),
]


@pytest.fixture(scope="module")
def images() -> list[torch.Tensor]:
    """24 seeded images, each (1, 3, 224, 224), the input of Lite0."""
    transform = image_preprocessing("lite0", 224, "centre")
    with zipfile.ZipFile(ARCHIVE) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))
        drawn = np.random.default_rng(0).choice(names, 24, replace=False)
        decoded = [Image.open(io.BytesIO(archive.read(name))) for name in drawn]
        return [torch.from_numpy(transform.to_array(image))[None] for image in decoded]


def score_without(encoder, pixels: torch.Tensor, target: int, position: int) -> float:
    """The score when a grey patch hides the flat index `position` and what surrounds it."""
    row, column = divmod(position, pixels.shape[-1])
    rows, columns = (slice(max(0, at - HALF_PATCH), at + HALF_PATCH) for at in (row, column))
    hidden = pixels.clone()
    hidden[..., rows, columns] = 0.0
    with torch.inference_mode():
        return float(encoder(hidden)[0, target])


def test_hiding_the_evidence_of_a_class_costs_more_than_hiding_a_random_position(lite0, images):
    random = np.random.default_rng(1)
    gains = []
    for number, pixels in enumerate(images):
        with torch.inference_mode():
            target = int(lite0(pixels)[0].argmax())
        heat = class_activation_map(lite0, lite0.bn2, pixels, target, image=str(number))
        hottest, anywhere = int(heat.argmax()), int(random.integers(heat.size))
        gains.append(
            score_without(lite0, pixels, target, anywhere)
            - score_without(lite0, pixels, target, hottest)
        )
    print(f"mean gain {np.mean(gains):.2f}, in {np.mean(np.array(gains) > 0):.0%} of images")
    assert np.mean(gains) > 0
    assert np.mean(np.array(gains) > 0) > 0.6


def test_guided_gradients_are_not_the_plain_ones(lite0, images):
    for number, pixels in enumerate(images[:4]):
        leaf = pixels.clone().requires_grad_()
        target = int(lite0(leaf)[0].argmax())
        (plain,) = torch.autograd.grad(lite0(leaf)[0, target], leaf)
        guided = guided_gradients(lite0, pixels, target, image=str(number))
        assert np.corrcoef(guided.ravel(), plain[0].permute(1, 2, 0).numpy().ravel())[0, 1] < 0.9
