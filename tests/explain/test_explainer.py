from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from sports_clip_pipeline.data.transforms import ImageTransform
from sports_clip_pipeline.explain.explainer import GUIDED, Explainer, Prediction, model_view


def preprocessing(view: str) -> ImageTransform:
    return ImageTransform(8, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), view=view)


def explainer(module, view: str = "centre") -> Explainer:
    return Explainer(
        module, module.maps, preprocessing(view), "class", ("red", "green", "none"), 64, 90
    )


@pytest.fixture
def wide() -> Image.Image:
    """32 × 16: a red square left, a green one right, blue in between."""
    photo = Image.new("RGB", (32, 16), "blue")
    photo.paste("red", (0, 0, 8, 16))
    photo.paste((0, 255, 0), (24, 0, 32, 16))
    return photo


SAID = Prediction("a.jpg", "green", "red", 0.75)


def opened(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int)


def test_a_squashed_image_is_shown_whole_in_its_own_shape(wide):
    seen = model_view(preprocessing("full"), wide, 64)
    assert seen.size == (64, 32)
    assert seen.getpixel((2, 16))[0] > 200 and seen.getpixel((61, 16))[1] > 200


def test_a_centre_crop_is_shown_as_the_square_it_is(wide):
    seen = model_view(preprocessing("centre"), wide, 64)
    assert seen.size == (64, 64)
    assert seen.getpixel((20, 30)) == pytest.approx((0, 0, 255), abs=3)


def test_the_card_tells_the_question_and_what_was_said(red_not_green, wide):
    card = explainer(red_not_green, "full").explain(wide, SAID, "red")
    assert (card.image, card.label, card.predicted, card.probability) == (
        "a.jpg",
        "green",
        "red",
        0.75,
    )
    assert (card.question, card.method) == ("class: red", "GradCAM")


def test_the_map_is_brightest_over_what_speaks_for_the_class(red_not_green, wide):
    card = explainer(red_not_green, "full").explain(wide, SAID, "red")
    drawn = opened(card.map_jpeg)
    assert drawn.shape == opened(card.photo_jpeg).shape == (32, 64, 3)
    assert drawn[:, :12].mean() > 1.5 * drawn[:, 20:].mean()


def test_a_silent_map_says_so_on_the_card(red_not_green):
    photo = Image.new("RGB", (16, 16), (0, 255, 0))
    assert (
        explainer(red_not_green).explain(photo, SAID, "red").method
        == "GradCAM: no place stands out"
    )


def test_an_unknown_score_is_an_error(red_not_green, wide):
    with pytest.raises(ValueError, match="not in tuple"):
        explainer(red_not_green).explain(wide, SAID, "blue")


def test_guided_backpropagation_draws_the_tower_on_the_shape_of_the_image(lite0, wide):
    names = tuple(map(str, range(1000)))
    seen = ImageTransform(64, (0.5,) * 3, (0.5,) * 3, view="full")
    drawer = Explainer(lite0, lite0.bn2, seen, "class", names, 96, 80)
    card = drawer.guided(wide, SAID, "7")
    assert card.method == GUIDED and "fails sanity checks" in GUIDED
    assert opened(card.map_jpeg).shape == (48, 96, 3)
    assert opened(card.map_jpeg).std() > 2
