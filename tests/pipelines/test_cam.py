from __future__ import annotations

import typing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sports_clip_pipeline.data.class_bank import ClassBank
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.explain.sampling import PAIR_COLUMNS
from sports_clip_pipeline.io.state import RunState
from sports_clip_pipeline.pipelines.cam import nodes
from sports_clip_pipeline.pipelines.cam.config import CamConfig
from sports_clip_pipeline.pipelines.cam.pipeline import create_pipeline

LABELS = ("ball", "field")
BANK = ClassBank(
    templates=("a photo of {}.", "{} in play."),
    classes=[{"label": "ball", "names": "a ball"}, {"label": "field", "names": "a field"}],
)


NO_PAIRS = pd.DataFrame(columns=list(PAIR_COLUMNS))


class Drawn:
    """Four images as an image store gives them."""

    def get(self, row: int) -> Image.Image:
        noise = np.random.default_rng(row).integers(0, 255, (6, 8, 3), dtype=np.uint8)
        return Image.fromarray(noise).resize((80, 60))


class CountingState(RunState):
    def progress(self, items, desc, total=None, unit="it"):
        self.asked = (desc, total, unit)
        yield from items


@pytest.fixture(scope="module")
def manifest() -> pd.DataFrame:
    return pd.DataFrame({"image": ["w.jpg", "x.jpg", "y.jpg", "z.jpg"]})


@pytest.fixture(scope="module")
def test_predictions() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "image": ["z.jpg", "x.jpg", "y.jpg"],
            "label": ["ball", "field", "ball"],
            "zero_shot_label": ["field"] * 3,
            "zero_shot_probability": [0.5] * 3,
            "finetuned_label": ["ball", "ball", "ball"],
            "finetuned_probability": [0.9, 0.8, 0.7],
        }
    )


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """A predictor and a CLIP folder on the smallest packaged towers, with made-up heads."""
    from sports_clip_pipeline.clip.folder import write_clip_folder
    from sports_clip_pipeline.clip.projections import Projections
    from sports_clip_pipeline.encoders.image_encoders import image_preprocessing
    from sports_clip_pipeline.predictor.head import Head, Operation
    from sports_clip_pipeline.predictor.predictor import Predictor

    random = np.random.default_rng(0)

    def matrix(*shape: int) -> np.ndarray:
        return random.normal(size=shape).astype(np.float32)

    seen = image_preprocessing("lite0", 96, "centre")
    head = Head((Operation("affine", {"weight": matrix(2, 1280), "bias": matrix(2)}),))
    clip = tmp_path_factory.mktemp("models") / "clip"
    projections = Projections(matrix(16, 1280), matrix(16), matrix(16, 384), 2.0)
    write_clip_folder(clip, projections, "lite0", "minilm", seen, 32)
    return {"predictor": Predictor(LABELS, "lite0", seen, head), "clip_model": clip}


def explain(manifest, choice, models, pairs=None, **changes):
    state = CountingState()
    cards = nodes.explain_images(
        Drawn(),
        manifest,
        choice,
        NO_PAIRS if pairs is None else pairs,
        models["predictor"],
        models["clip_model"],
        BANK,
        state,
        CamConfig(picture_px=64, **changes),
    )
    return cards, state


@pytest.fixture(scope="module")
def choice(test_predictions) -> pd.DataFrame:
    return nodes.sample_images(test_predictions, CamConfig(right=1, wrong=1))


def test_the_finetuned_prediction_is_what_is_chosen_by(choice):
    assert list(choice["image"].isin(["z.jpg", "y.jpg"])) == [True, False]
    assert choice.loc[1].to_dict() == {
        "image": "x.jpg",
        "label": "field",
        "predicted": "ball",
        "probability": 0.8,
        "right": False,
    }


def test_right_ones_are_asked_once_and_wrong_ones_for_both_classes(manifest, choice, models):
    cards, state = explain(manifest, choice, models)
    asked = [
        (card.right, card.question, card.method.split(":")[0].startswith("guided"))
        for card in cards
    ]
    assert asked == [
        (True, "class: ball", False),
        (True, "class: ball", True),
        (True, "prompt: a photo of a ball.", False),
        (False, "class: ball", False),
        (False, "class: field", False),
        (False, "class: ball", True),
        (False, "prompt: a photo of a ball.", False),
        (False, "prompt: a photo of a field.", False),
    ]
    assert state.asked == ("cam", 2, "image")


def test_every_method_asks_every_question(manifest, choice, models):
    asked = {"methods": "gradcam+eigencam", "guided": False, "classes": ["{predicted}"]}
    cards, _ = explain(manifest, choice, models, prompts=["a red net"], **asked)
    methods = [card.method.split(":")[0] for card in cards]
    assert methods == ["GradCAM", "EigenCAM"] * 4


def test_a_confused_pair_is_shown_both_ways_the_answer_first(
    manifest, test_predictions, choice, models
):
    confused = pd.DataFrame({"first": ["field"], "second": ["ball"]})
    pairs = nodes.sample_confused(test_predictions, confused, CamConfig(pairs=1))
    cards, _ = explain(manifest, choice.head(0), models, pairs, prompts=["a net"])
    assert [(card.image, card.question) for card in cards] == [
        ("x.jpg", "contrast: ball rather than field"),
        ("x.jpg", "contrast: field rather than ball"),
        ("y.jpg", "contrast: ball rather than field"),
        ("y.jpg", "contrast: field rather than ball"),
    ]


def test_each_card_shows_the_image_of_its_own_row(manifest, choice, models):
    from sports_clip_pipeline.explain.explainer import jpeg, model_view

    cards, _ = explain(manifest, choice, models, prompts=(), guided=False)
    for card in cards:
        photo = Drawn().get(list(manifest["image"]).index(card.image))
        shown = model_view(models["predictor"].preprocessing, photo, 64)
        assert card.photo_jpeg == jpeg(shown, 80)


def test_free_text_can_be_asked_and_clip_stays_unread_where_nothing_is(manifest, choice, models):
    cards, _ = explain(manifest, choice, models, classes=(), guided=False, prompts=("a red net",))
    assert {card.question for card in cards} == {"prompt: a red net"}
    without = {**models, "clip_model": Path("nowhere")}
    assert explain(manifest, choice, without, prompts=(), guided=False)[0]


def test_a_layer_that_is_not_there_is_refused(manifest, choice, models):
    with pytest.raises(UserFacingError, match=r"cam\.layer = blocks\.99"):
        explain(manifest, choice, models, layer="blocks.99")


def test_a_prediction_of_a_image_that_is_not_there_is_refused(choice, models):
    with pytest.raises(UserFacingError, match=r"z\.jpg|y\.jpg"):
        explain(pd.DataFrame({"image": ["w.jpg", "x.jpg"]}), choice, models, prompts=())


def test_a_second_run_draws_the_same_cards(manifest, choice, models):
    first, _ = explain(manifest, choice, models)
    assert explain(manifest, choice, models)[0] == first


def test_the_wiring_takes_from_the_catalog_what_the_plan_says():
    pipeline = create_pipeline()
    assert pipeline.inputs() == {
        "test_predictions",
        "sports_images",
        "sports_manifest",
        "predictor",
        "clip_model",
        "confusion_pairs",
        "cam_state",
        "params:class_bank",
        "params:cam",
    }
    assert pipeline.outputs() == {"cam_gallery"}


@pytest.mark.parametrize("node", [nodes.sample_images, nodes.sample_confused, nodes.explain_images])
def test_every_hint_resolves_at_run_time(node):
    assert typing.get_type_hints(node)["cam"] is CamConfig
