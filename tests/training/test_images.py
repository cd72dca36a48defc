from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sports_clip_pipeline.data.transforms import ImageTransform
from sports_clip_pipeline.io.state import RunState
from sports_clip_pipeline.training.images import (
    Crop,
    draw_crops,
    random_resized_crops,
    read_images,
    to_pixels,
)
from tests.fewshot.end_to_end_factories import image_store, study, toy_images

VIEW = ImageTransform(size=32, mean=(0.5, 0.4, 0.3), std=(0.5, 0.6, 0.7))
RNG = np.random.default_rng(0)
IMAGE = Image.fromarray(RNG.integers(0, 256, (48, 64, 3), dtype=np.uint8))


def test_the_whole_image_as_a_crop_is_the_full_view() -> None:
    whole = Crop(0.0, 0.0, 1.0, 1.0, flipped=False)
    np.testing.assert_array_equal(
        np.asarray(whole.apply(IMAGE, VIEW)), np.asarray(VIEW.crop(IMAGE))
    )


def test_a_flipped_crop_is_the_crop_flipped() -> None:
    plain = np.asarray(Crop(0.1, 0.2, 0.7, 0.9, flipped=False).apply(IMAGE, VIEW))
    flipped = np.asarray(Crop(0.1, 0.2, 0.7, 0.9, flipped=True).apply(IMAGE, VIEW))
    np.testing.assert_array_equal(flipped, plain[:, ::-1])


def test_a_box_takes_its_own_pixels() -> None:
    halves = np.zeros((40, 80, 3), np.uint8)
    halves[:, 40:] = 200
    square = Crop(0.6, 0.0, 1.0, 1.0, flipped=False).apply(Image.fromarray(halves), VIEW)
    assert np.asarray(square).min() == 200


def test_crops_stay_inside_and_keep_the_area_they_are_given() -> None:
    crops = draw_crops(500, np.random.default_rng(1))
    boxes = np.array([(c.left, c.upper, c.right, c.lower) for c in crops])
    assert boxes.min() >= 0.0
    assert boxes.max() <= 1.0 + 1e-12
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    assert (width * height).min() >= 0.5 - 1e-9
    assert (width * height).mean() == pytest.approx(0.75, abs=0.03)
    assert 0.4 < np.mean([c.flipped for c in crops]) < 0.6


def test_pixels_are_those_of_the_preprocessing() -> None:
    square = VIEW.crop(IMAGE)
    pixels = to_pixels(np.asarray(square)[None], VIEW, "cpu")
    np.testing.assert_allclose(pixels.numpy(), VIEW.normalise([square]), rtol=1e-6, atol=1e-6)
    assert pixels.is_contiguous(memory_format=torch.channels_last)


def test_batches_come_in_order_with_their_crops(corpus) -> None:
    rows = [np.array([3, 0]), np.array([5]), np.array([1, 2])]
    crops = [draw_crops(len(batch), np.random.default_rng(2)) for batch in rows]
    found = list(read_images(corpus.store, zip(rows, crops, strict=True), VIEW))
    for batch, drawn, images in zip(rows, crops, found, strict=True):
        wanted = [
            np.asarray(crop.apply(corpus.store.get(int(row)), VIEW))
            for row, crop in zip(batch, drawn, strict=True)
        ]
        np.testing.assert_array_equal(images, np.stack(wanted))


def test_without_crops_the_view_of_the_preprocessing_is_read(corpus) -> None:
    (found,) = read_images(corpus.store, [(np.array([4]), None)], VIEW)
    np.testing.assert_array_equal(found[0], np.asarray(VIEW.crop(corpus.store.get(4))))
    assert list(read_images(corpus.store, [], VIEW)) == []


def test_decoded_images_are_what_the_preprocessing_crops_and_are_decoded_once(
    tmp_path: Path,
) -> None:
    made = study(tmp_path / "store", RunState(tmp_path / "run_state"))
    decoded = made.images.open()
    seen = made.images.preprocessing
    assert decoded.shape == (18, seen.size, seen.size, 3)
    for row in (0, 17):
        np.testing.assert_array_equal(
            decoded[row], np.asarray(seen.crop(made.images.store.get(row)))
        )
    pixels = to_pixels(decoded[:2], seen)
    np.testing.assert_allclose(pixels[0], seen.to_array(made.images.store.get(0)), atol=1e-6)
    assert pixels.is_contiguous(memory_format=torch.channels_last)
    image_store(tmp_path / "store", toy_images(18, seed=5)[0])
    again = study(tmp_path / "other", RunState(tmp_path / "journal")).images.open()
    np.testing.assert_array_equal(again, decoded)


def test_half_of_the_crops_are_flipped_and_none_leaves_the_image() -> None:
    ramp = torch.arange(8.0).expand(100, 3, 8, 8).contiguous()
    crops = random_resized_crops(ramp, 8, 0.3, np.random.default_rng(1))
    rising = (crops[:, 0, 0, -1] > crops[:, 0, 0, 0]).float().mean()
    assert 0.35 < float(rising) < 0.65
    assert float(crops.min()) >= 0.0
    assert float(crops.max()) <= 7.0
    assert torch.allclose(crops, crops[:, :, :1].expand_as(crops), atol=1e-5), "rows stay rows"


def test_crops_keep_at_least_their_area() -> None:
    ramp_x = torch.linspace(0, 1, 64).expand(200, 1, 64, 64)
    ramp_y = ramp_x.transpose(2, 3)
    pixels = torch.cat([ramp_x, ramp_y, ramp_x], dim=1).contiguous()
    crops = random_resized_crops(pixels, 32, 0.5, np.random.default_rng(0))
    width = (crops[:, 0].amax((1, 2)) - crops[:, 0].amin((1, 2))).numpy()
    height = (crops[:, 1].amax((1, 2)) - crops[:, 1].amin((1, 2))).numpy()
    area = width * height
    assert area.min() > 0.5 * 0.8  # the ramp's ends lie half a pixel inside, and sides are cut
    assert area.max() <= 1.05
    assert area.std() > 0.05


def test_equal_generators_give_equal_crops_of_the_requested_size() -> None:
    pixels = torch.randn(4, 3, 16, 16)
    first, second = (
        random_resized_crops(pixels, 8, 0.3, np.random.default_rng(5)) for _ in range(2)
    )
    assert torch.equal(first, second)
    assert first.shape == (4, 3, 8, 8)
    assert first.is_contiguous(memory_format=torch.channels_last)
