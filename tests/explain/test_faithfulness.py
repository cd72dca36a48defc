"""Measures worked by hand on a network that looks at one patch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sports_clip_pipeline.explain.faithfulness import (
    area,
    blurred,
    centre_map,
    faithfulness,
    prepare_image,
    random_map,
)

SIDE = 32


def ask(pixels: torch.Tensor) -> np.ndarray:
    """The mean of the upper left quarter, which the image has at 1 and the rest at 0."""
    return pixels[:, 0, : SIDE // 2, : SIDE // 2].mean(dim=(1, 2)).numpy()


@pytest.fixture
def pixels() -> torch.Tensor:
    values = torch.zeros(3, SIDE, SIDE)
    values[:, : SIDE // 2, : SIDE // 2] = 1.0
    return values


@pytest.fixture
def truth() -> np.ndarray:
    heat = np.zeros((SIDE, SIDE), np.float32)
    heat[: SIDE // 2, : SIDE // 2] = 1.0
    return heat


def test_deletion_of_the_true_patch_is_the_area_worked_by_hand(pixels, truth):
    found = faithfulness(prepare_image(pixels, ask, 0), truth, ask, (0.5,), steps=4)
    # A quarter of the pixels is the patch: 1, then 0 from the first step on.
    assert found["deletion"] == pytest.approx(0.125, abs=1e-6)


def test_insertion_of_the_true_patch_reaches_the_image_at_the_first_step(pixels, truth):
    image = prepare_image(pixels, ask, 0)
    found = faithfulness(image, truth, ask, (0.5,), steps=4)
    assert image.end_probabilities[0] == 1.0 and image.end_probabilities[2] == 0.0
    assert found["insertion"] == pytest.approx((image.end_probabilities[1] + 7.0) / 8, abs=1e-5)


def test_road_fills_the_patch_with_what_lies_around_it(pixels, truth):
    found = faithfulness(prepare_image(pixels, ask, 0), truth, ask, (0.25, 0.5), steps=2)
    assert found["road_morf"] < 0.1  # the patch is gone, zeros are around it
    assert found["road_lerf"] > 0.95  # half of all pixels, none of the patch
    assert found["road"] == pytest.approx(found["road_lerf"] - found["road_morf"])


def test_the_true_map_beats_both_baselines_and_the_opposite_map_loses(pixels, truth):
    image = prepare_image(pixels, ask, 3)
    maps = {
        "truth": truth,
        "centre": centre_map(SIDE, SIDE),
        "random": random_map(SIDE, SIDE, (4, 4), 3),
        "opposite": 1 - truth,
    }
    found = {n: faithfulness(image, m, ask, (0.2, 0.5, 0.8), 6) for n, m in maps.items()}
    for baseline in ("centre", "random", "opposite"):
        assert found["truth"]["road"] > found[baseline]["road"] + 0.05
        assert found["truth"]["insertion"] > found[baseline]["insertion"]
        assert found["truth"]["deletion"] < found[baseline]["deletion"] - 0.05
    assert found["opposite"]["road"] < 0


def test_a_flat_map_is_measured_in_a_random_order_of_its_pixels(pixels):
    flat = faithfulness(
        prepare_image(pixels, ask, 0), np.zeros((SIDE, SIDE)), ask, (0.5,), steps=10
    )
    assert flat["deletion"] == pytest.approx(0.5, abs=0.05)  # pixels leave evenly
    assert flat["road"] == pytest.approx(0.0, abs=0.05)


def test_the_same_seed_gives_the_same_numbers(pixels, truth):
    first, again = (
        faithfulness(prepare_image(pixels, ask, 1), truth, ask, (0.5,), 4) for _ in range(2)
    )
    assert first == again


@pytest.mark.parametrize(
    ("curve", "wanted"), [([1.0, 0.0], 0.5), ([1.0, 1.0, 0.0], 0.75), ([0.0, 0.0, 0.0, 0.0], 0.0)]
)
def test_the_area_is_by_trapezoids(curve, wanted):
    assert area(curve) == pytest.approx(wanted)


def test_a_blur_keeps_the_mean_of_an_even_picture_and_softens_edges(pixels):
    assert torch.allclose(blurred(torch.full((3, 40, 40), 0.7)), torch.tensor(0.7))
    soft = blurred(pixels)
    assert soft.shape == pixels.shape
    assert 0.05 < float(soft[0, SIDE // 2, 0]) < 0.95
