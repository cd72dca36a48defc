from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from sports_clip_pipeline.journal import DiskJournal
from sports_clip_pipeline.training.pixels.squares import normalised, random_crops
from tests.training.pixels.making import image_store, pictures, study


def test_squares_are_what_the_preprocessing_crops_and_are_decoded_once(tmp_path: Path) -> None:
    made = study(tmp_path / "store", DiskJournal(tmp_path / "journal"))
    squares = made.squares.open()
    seen = made.squares.preprocessing
    assert squares.shape == (18, seen.size, seen.size, 3)
    for row in (0, 17):
        np.testing.assert_array_equal(
            squares[row], np.asarray(seen.crop(made.squares.store.get(row)))
        )
    pixels = normalised(squares[:2], seen)
    np.testing.assert_allclose(pixels[0], seen.to_array(made.squares.store.get(0)), atol=1e-6)
    assert pixels.is_contiguous(memory_format=torch.channels_last)
    image_store(tmp_path / "store", pictures(18, seed=5)[0])
    again = study(tmp_path / "other", DiskJournal(tmp_path / "journal")).squares.open()
    np.testing.assert_array_equal(again, squares)


def test_half_of_the_crops_are_mirrored_and_none_leaves_the_photograph() -> None:
    ramp = torch.arange(8.0).expand(100, 3, 8, 8).contiguous()
    crops = random_crops(ramp, 8, 0.3, np.random.default_rng(1))
    rising = (crops[:, 0, 0, -1] > crops[:, 0, 0, 0]).float().mean()
    assert 0.35 < float(rising) < 0.65
    assert float(crops.min()) >= 0.0
    assert float(crops.max()) <= 7.0
    assert torch.allclose(crops, crops[:, :, :1].expand_as(crops), atol=1e-5), "rows stay rows"


def test_crops_keep_at_least_their_area() -> None:
    ramp_x = torch.linspace(0, 1, 64).expand(200, 1, 64, 64)
    ramp_y = ramp_x.transpose(2, 3)
    pixels = torch.cat([ramp_x, ramp_y, ramp_x], dim=1).contiguous()
    crops = random_crops(pixels, 32, 0.5, np.random.default_rng(0))
    width = (crops[:, 0].amax((1, 2)) - crops[:, 0].amin((1, 2))).numpy()
    height = (crops[:, 1].amax((1, 2)) - crops[:, 1].amin((1, 2))).numpy()
    area = width * height
    assert area.min() > 0.5 * 0.8  # the ramp's ends lie half a pixel inside, and sides are cut
    assert area.max() <= 1.05
    assert area.std() > 0.05


def test_equal_generators_crop_alike() -> None:
    pixels = torch.randn(4, 3, 16, 16)
    first, second = (random_crops(pixels, 8, 0.3, np.random.default_rng(5)) for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.parametrize("least", [0.35, 1.0])
def test_crops_have_the_wanted_side(least: float) -> None:
    crops = random_crops(torch.zeros(2, 3, 20, 20), 12, least, np.random.default_rng(0))
    assert crops.shape == (2, 3, 12, 12)
    assert crops.is_contiguous(memory_format=torch.channels_last)
