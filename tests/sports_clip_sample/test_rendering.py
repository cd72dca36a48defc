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
def test_every_kind_of_scene_can_be_drawn_and_is_no_flat_sheet(kind: str) -> None:
    for turn in range(6):
        rng = Random(f"{kind}{turn}")
        image = rendering.render(imagine(kind, rng), rng)
        pixels = np.asarray(image)
        assert image.mode == "RGB"
        assert pixels.std() > 12


@pytest.mark.parametrize("view", ["portrait", "crowd", "action", "wide", "close"])
def test_every_view_of_every_sport_can_be_drawn(view: str) -> None:
    for kind in SPORTS:
        rng = Random(f"{kind}{view}")
        scene = next(s for s in (imagine(kind, rng) for _ in range(2000)) if s.view == view)
        rendering.render(scene, rng)


def test_different_scenes_do_not_look_like_duplicates() -> None:
    hashes = []
    for number in range(60):
        rng = Random(number)
        hashes.append(imagehash.dhash(rendering.render(imagine(SPORTS[number % 8], rng), rng)))
    apart = [a - b for i, a in enumerate(hashes) for b in hashes[:i]]
    assert min(apart) > 2


def test_a_turned_file_shows_the_same_picture_upright() -> None:
    rng = Random(1)
    image = rendering.render(imagine("tennis", rng), rng)
    stored = Image.open(io.BytesIO(rendering.jpeg(image, 95, turned=True)))
    assert stored.size == image.size[::-1]
    upright = np.asarray(ImageOps.exif_transpose(stored), np.float32)
    assert np.abs(upright - np.asarray(image, np.float32)).mean() < 8
