import io
from random import Random

import numpy as np
import pytest
from PIL import Image, ImageOps

from sports_clip_pipeline.data.near_duplicates import appearance_of, near_duplicate_pairs
from sports_clip_sample import rendering
from sports_clip_sample.canvas import NEAR, look
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
    rngs = [Random(number) for number in range(60)]
    scenes = [imagine(SPORTS[number % 8], rng) for number, rng in enumerate(rngs)]
    drawn = [rendering.render(*pair) for pair in zip(scenes, rngs, strict=True)]
    pairs = near_duplicate_pairs(np.array([appearance_of(image) for image in drawn]), 30, 0.7, 0.95)
    assert pairs.tolist() == []


def test_a_rotated_file_has_the_same_upright_image() -> None:
    rng = Random(1)
    image = rendering.render(imagine("tennis", rng), rng)
    stored = Image.open(io.BytesIO(rendering.jpeg(image, 95, turned=True)))
    assert stored.size == image.size[::-1]
    upright = np.asarray(ImageOps.exif_transpose(stored), np.float32)
    assert np.abs(upright - np.asarray(image, np.float32)).mean() < 8


def test_the_target_is_in_the_middle_of_the_image() -> None:
    camera = look(35, 6, 2, (0.4, 1.1, -0.3), 640, 480)
    assert camera.pixel((0.4, 1.1, -0.3)) == pytest.approx((320, 240))


def test_the_size_of_a_metre_equals_a_hand_worked_value() -> None:
    # Field of view 90 degrees: the focal length is half the height, 100 pixels. At 5 metres a
    # metre covers 100 / 5 = 20 pixels, to the right and up alike.
    camera = look(0, 5, 1, (0, 1, 0), 200, 200, 90)
    assert camera.pixel((1, 1, 0)) == pytest.approx((120, 100))
    assert camera.pixel((0, 2, 0)) == pytest.approx((100, 80))
    assert camera.scale((0, 1, 0)) == pytest.approx(20)


def test_scale_falls_with_distance_and_is_zero_behind_the_camera() -> None:
    camera = look(0, 5, 1, (0, 1, 0), 200, 200)
    assert camera.scale((0, 0, 0)) > camera.scale((0, 0, 3)) > 0
    assert camera.scale((0, 0, -6)) == 0
    assert camera.outline([(0, 0, -9), (1, 0, -9), (0, 1, -9)]) == []


def test_a_polygon_is_clipped_at_the_near_plane() -> None:
    camera = look(0, 5, 1, (0, 1, 0), 200, 200, 90)
    square = [(-1.0, 0.0, -9.0), (1.0, 0.0, -9.0), (1.0, 0.0, 0.0), (-1.0, 0.0, 0.0)]
    cut = camera.outline(square)
    assert len(cut) == 4
    near_edge = sorted(cut, key=lambda pixel: -pixel[1])[:2]
    assert [v for _, v in near_edge] == pytest.approx([100 + 100 / NEAR] * 2)
