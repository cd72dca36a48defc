from __future__ import annotations

import io
from random import Random

import imagehash
import numpy as np
import pytest
from PIL import Image, ImageOps

from sports_clip_sample import rendering
from sports_clip_sample.scenes import DAILY, SPORTS, imagine


@pytest.mark.parametrize("kind", [*SPORTS, *DAILY])
def test_every_kind_of_scene_is_rendered_with_contrast(kind: str) -> None:
    for repeat in range(6):
        rng = Random(f"{kind}{repeat}")
        image = rendering.render(imagine(kind, rng), rng)
        assert image.mode == "RGB"
        assert np.asarray(image).std() > 12


@pytest.mark.parametrize("view", ["portrait", "crowd", "action", "wide", "close"])
def test_every_view_of_every_sport_is_rendered(view: str) -> None:
    for kind in SPORTS:
        rng = Random(f"{kind}{view}")
        scene = next(s for s in (imagine(kind, rng) for _ in range(2000)) if s.view == view)
        rendering.render(scene, rng)


def test_different_scenes_are_no_near_duplicates() -> None:
    hashes = []
    for number in range(60):
        rng = Random(number)
        hashes.append(imagehash.dhash(rendering.render(imagine(SPORTS[number % 8], rng), rng)))
    assert min(a - b for i, a in enumerate(hashes) for b in hashes[:i]) > 2


def test_a_rotated_file_has_the_same_upright_image() -> None:
    rng = Random(1)
    image = rendering.render(imagine("tennis", rng), rng)
    stored = Image.open(io.BytesIO(rendering.jpeg(image, 95, turned=True)))
    assert stored.size == image.size[::-1]
    upright = np.asarray(ImageOps.exif_transpose(stored), np.float32)
    assert np.abs(upright - np.asarray(image, np.float32)).mean() < 8
