"""Gallery cards, their pictures and contact sheets."""

import io

import matplotlib
import numpy as np
import pytest
from PIL import Image

from sports_clip_pipeline.data.transforms import ImageTransform
from sports_clip_pipeline.explain.explainer import (
    GUIDED,
    Explainer,
    Prediction,
    contact_sheet,
    gradient_picture,
    jpeg,
    model_view,
    overlay,
)
from sports_clip_pipeline.explain.networks import Network


def preprocessing(view: str) -> ImageTransform:
    return ImageTransform(8, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), view=view)


def explainer(module, view: str = "centre") -> Explainer:
    names = ("red", "green", "none")
    return Explainer(Network("classifier", module, module.maps, preprocessing(view), names), 64, 90)


@pytest.fixture
def wide() -> Image.Image:
    """32 × 16: a red square left, a green one right, blue in between."""
    image = Image.new("RGB", (32, 16), "blue")
    image.paste("red", (0, 0, 8, 16))
    image.paste((0, 255, 0), (24, 0, 32, 16))
    return image


PREDICTION = Prediction("a.jpg", "green", "red", 0.75)


def opened(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int)


def test_a_squashed_image_is_shown_whole_in_its_own_shape(wide):
    view = model_view(preprocessing("full"), wide, 64)
    assert view.getpixel((2, 16))[0] > 200 and view.getpixel((61, 16))[1] > 200


def test_a_centre_crop_is_shown_as_the_square_it_is(wide):
    view = model_view(preprocessing("centre"), wide, 64)
    assert view.getpixel((20, 30)) == pytest.approx((0, 0, 255), abs=3)


def test_a_card_has_the_question_and_the_prediction(red_not_green, wide):
    card = explainer(red_not_green, "full").explain(wide, PREDICTION, "red")
    assert vars(PREDICTION).items() <= vars(card).items() and not card.right
    assert (card.question, card.method) == ("class: red", "GradCAM")


def test_the_map_is_brightest_over_the_evidence_of_the_class(red_not_green, wide):
    card = explainer(red_not_green, "full").explain(wide, PREDICTION, "red")
    drawn = opened(card.map_jpeg)
    assert drawn.shape == opened(card.photo_jpeg).shape == (32, 64, 3)
    assert drawn[:, :12].mean() > 1.5 * drawn[:, 20:].mean()


def test_a_map_without_evidence_is_labelled_on_the_card(red_not_green):
    image = Image.new("RGB", (16, 16), (0, 255, 0))
    card = explainer(red_not_green).explain(image, PREDICTION, "red")
    assert card.method == "GradCAM: no place stands out"


def test_an_unknown_score_is_an_error(red_not_green, wide):
    with pytest.raises(ValueError, match="not in tuple"):
        explainer(red_not_green).explain(wide, PREDICTION, "blue")


def test_guided_backpropagation_draws_in_the_shape_of_the_image(lite0, wide):
    names = tuple(map(str, range(1000)))
    view = ImageTransform(64, (0.5,) * 3, (0.5,) * 3, view="full")
    drawer = Explainer(Network("classifier", lite0, lite0.bn2, view, names), 96, 80)
    card = drawer.explain(wide, PREDICTION, "7", "guided")
    assert card.method == GUIDED and "fails sanity checks" in GUIDED
    assert opened(card.map_jpeg).shape == (48, 96, 3)
    assert opened(card.map_jpeg).std() > 2


@pytest.fixture
def grey() -> Image.Image:
    return Image.new("RGB", (8, 4), (128, 128, 128))


@pytest.mark.parametrize(
    ("view", "size", "shown"),
    [
        ("full", (500, 250), (100, 50)),
        ("full", (10, 40), (25, 100)),
        ("full", (900, 1), (100, 1)),
        ("centre", (32, 16), (100, 100)),
    ],
)
def test_a_squashed_image_is_shown_in_its_own_shape_and_a_crop_as_a_square(view, size, shown):
    assert model_view(preprocessing(view), Image.new("RGB", size), 100).size == shown


def test_the_hottest_position_has_the_hand_worked_colour(grey):
    # share 0.7 of the map's top colour over 0.3 of the grey 128/255.
    top = np.array(matplotlib.colormaps["inferno"](1.0)[:3])
    expected = np.rint((0.3 * 128 / 255 + 0.7 * top) * 255)
    drawn = np.asarray(overlay(grey, np.ones((2, 2), np.float32)))
    np.testing.assert_array_equal(drawn, np.broadcast_to(expected, (4, 8, 3)))


def test_hotter_is_brighter_over_an_even_image(grey):
    heat = np.linspace(0, 1, 8, dtype=np.float32)[None].repeat(4, 0)
    luminance = np.asarray(overlay(grey, heat).convert("L")).astype(int)[0]
    assert (np.diff(luminance) > 0).all()


def test_where_there_is_no_heat_the_image_can_still_be_read():
    halves = Image.new("RGB", (8, 4), "black")
    halves.paste("white", (4, 0, 8, 4))
    drawn = np.asarray(overlay(halves, np.zeros((2, 2), np.float32)).convert("L")).astype(int)
    assert drawn[:, 4:].min() - drawn[:, :4].max() > 128


def test_the_heat_lies_over_its_position(grey):
    heat = np.zeros((4, 8), np.float32)
    heat[0, 7] = 1.0
    drawn = np.asarray(overlay(grey, heat)).astype(int).sum(axis=2)
    assert np.unravel_index(drawn.argmax(), drawn.shape) == (0, 7)


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


def picture(colour: str, size: tuple[int, int] = (40, 20)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, "JPEG")
    return buffer.getvalue()


def test_the_sheet_stands_in_rows_of_square_cells():
    sheet = Image.open(io.BytesIO(contact_sheet([picture("red"), picture("blue")] * 2, 3, 20)))
    assert sheet.format == "PNG" and sheet.size == (60, 40)
    red, blue = (sheet.convert("RGB").getpixel(xy) for xy in ((5, 5), (25, 5)))
    assert red[0] > 200 > red[2] and blue[2] > 200 > blue[0]
