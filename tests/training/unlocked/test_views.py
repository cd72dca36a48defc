from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from sports_clip_pipeline.data.transforms import ImagePreprocessing
from sports_clip_pipeline.training.unlocked.views import Crop, draw_crops, read_squares, to_pixels

VIEW = ImagePreprocessing(size=32, mean=(0.5, 0.4, 0.3), std=(0.5, 0.6, 0.7))
RNG = np.random.default_rng(0)
PHOTO = Image.fromarray(RNG.integers(0, 256, (48, 64, 3), dtype=np.uint8))


def test_the_whole_photograph_as_a_crop_is_the_full_view() -> None:
    whole = Crop(0.0, 0.0, 1.0, 1.0, mirrored=False)
    np.testing.assert_array_equal(
        np.asarray(whole.square(PHOTO, VIEW)), np.asarray(VIEW.crop(PHOTO))
    )


def test_a_mirrored_crop_is_the_crop_mirrored() -> None:
    plain = np.asarray(Crop(0.1, 0.2, 0.7, 0.9, mirrored=False).square(PHOTO, VIEW))
    mirrored = np.asarray(Crop(0.1, 0.2, 0.7, 0.9, mirrored=True).square(PHOTO, VIEW))
    np.testing.assert_array_equal(mirrored, plain[:, ::-1])


def test_a_box_takes_its_own_pixels() -> None:
    halves = np.zeros((40, 80, 3), np.uint8)
    halves[:, 40:] = 200
    square = Crop(0.6, 0.0, 1.0, 1.0, mirrored=False).square(Image.fromarray(halves), VIEW)
    assert np.asarray(square).min() == 200


def test_crops_stay_inside_and_keep_the_area_they_are_told() -> None:
    crops = draw_crops(500, np.random.default_rng(1), least_area=0.5)
    boxes = np.array([(c.left, c.upper, c.right, c.lower) for c in crops])
    assert boxes.min() >= 0.0
    assert boxes.max() <= 1.0 + 1e-12
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    assert (width * height).min() >= 0.5 - 1e-9
    assert (width * height).mean() == pytest.approx(0.75, abs=0.03)
    assert 0.4 < np.mean([c.mirrored for c in crops]) < 0.6


def test_pixels_are_those_of_the_preprocessing() -> None:
    square = VIEW.crop(PHOTO)
    pixels = to_pixels(torch.from_numpy(np.asarray(square)[None].copy()), VIEW, "cpu")
    np.testing.assert_allclose(pixels.numpy(), VIEW.normalise([square]), rtol=1e-6, atol=1e-6)
    assert pixels.is_contiguous(memory_format=torch.channels_last)


def test_batches_come_in_order_with_their_crops(corpus) -> None:
    rows = [np.array([3, 0]), np.array([5]), np.array([1, 2])]
    crops = [draw_crops(len(batch), np.random.default_rng(2)) for batch in rows]
    found = list(read_squares(corpus.store, zip(rows, crops, strict=True), VIEW))
    for batch, drawn, squares in zip(rows, crops, found, strict=True):
        wanted = [
            np.asarray(crop.square(corpus.store.get(int(row)), VIEW))
            for row, crop in zip(batch, drawn, strict=True)
        ]
        np.testing.assert_array_equal(squares.numpy(), np.stack(wanted))


def test_without_crops_the_view_of_the_preprocessing_is_read(corpus) -> None:
    (found,) = read_squares(corpus.store, [(np.array([4]), None)], VIEW)
    np.testing.assert_array_equal(found[0], np.asarray(VIEW.crop(corpus.store.get(4))))


def test_no_batches_give_none(corpus) -> None:
    assert list(read_squares(corpus.store, [], VIEW)) == []
