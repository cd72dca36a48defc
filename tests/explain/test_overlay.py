from __future__ import annotations

import io

import matplotlib
import numpy as np
import pytest
from PIL import Image

from sports_clip_pipeline.explain.explainer import fit_within, gradient_picture, jpeg, overlay


@pytest.fixture
def grey() -> Image.Image:
    return Image.new("RGB", (8, 4), (128, 128, 128))


@pytest.mark.parametrize(
    ("size", "fitted"), [((500, 250), (100, 50)), ((10, 40), (25, 100)), ((900, 1), (100, 1))]
)
def test_the_shape_is_kept_and_the_long_side_is_as_wanted(size, fitted):
    assert fit_within(size, 100) == fitted


def test_the_hottest_place_has_the_colour_worked_out_by_hand(grey):
    # share 0.7 of the map's top colour over 0.3 of the grey 128/255.
    top = np.array(matplotlib.colormaps["inferno"](1.0)[:3])
    wanted = np.rint((0.3 * 128 / 255 + 0.7 * top) * 255)
    drawn = np.asarray(overlay(grey, np.ones((2, 2), np.float32)))
    np.testing.assert_array_equal(drawn, np.broadcast_to(wanted, (4, 8, 3)))


def test_hotter_is_brighter_over_an_even_image(grey):
    heat = np.linspace(0, 1, 8, dtype=np.float32)[None].repeat(4, 0)
    luminance = np.asarray(overlay(grey, heat).convert("L")).astype(int)[0]
    assert (np.diff(luminance) > 0).all()


def test_where_there_is_no_heat_the_image_can_still_be_read():
    halves = Image.new("RGB", (8, 4), "black")
    halves.paste("white", (4, 0, 8, 4))
    drawn = np.asarray(overlay(halves, np.zeros((2, 2), np.float32)).convert("L")).astype(int)
    assert drawn[:, 4:].min() - drawn[:, :4].max() > 128


def test_the_heat_lies_over_the_place_that_it_speaks_of(grey):
    heat = np.zeros((4, 8), np.float32)
    heat[0, 7] = 1.0
    drawn = np.asarray(overlay(grey, heat)).astype(int).sum(axis=2)
    assert np.unravel_index(drawn.argmax(), drawn.shape) == (0, 7)


@pytest.mark.parametrize("value", [-0.1, 1.1, np.nan])
def test_heat_outside_its_range_is_refused(grey, value):
    with pytest.raises(ValueError, match="heat lies in"):
        overlay(grey, np.full((2, 2), value, np.float32))


def test_no_gradient_is_middle_grey_and_its_sign_is_seen():
    gradients = np.zeros((2, 2, 3))
    gradients[0, 0], gradients[1, 1] = 3.0, -3.0
    drawn = np.asarray(gradient_picture(gradients))[..., 0]
    np.testing.assert_array_equal(drawn, [[255, 128], [128, 0]])


def test_a_lone_spike_does_not_vanish_in_its_percentile():
    gradients = np.zeros((40, 40, 3))
    gradients[0, 0, 0] = 1.0
    assert np.asarray(gradient_picture(gradients))[0, 0, 0] == 255


def test_the_bytes_are_a_jpeg_of_the_same_size(grey):
    with Image.open(io.BytesIO(jpeg(grey, 80))) as picture:
        assert picture.format == "JPEG" and picture.size == (8, 4)
