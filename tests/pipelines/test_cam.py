from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sports_clip_pipeline.data.class_bank import ClassBank
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.explain.sampling import PAIR_COLUMNS
from sports_clip_pipeline.io.state import RunState
from sports_clip_pipeline.pipeline_registry import register_pipelines
from sports_clip_pipeline.pipelines.cam import nodes
from sports_clip_pipeline.pipelines.cam.config import CamConfig
from tests.conftest import Kedro

LABELS = ("ball", "field")
BANK = ClassBank(
    templates=("a photo of {}.", "{} in play."),
    classes=[{"label": label, "names": f"a {label}"} for label in LABELS],
)
FEW_MAPS = (
    "--params=cam_eval.images=4,cam_eval.randomised_images=1,"
    "cam_eval.scorecam_images=0,cam_eval.steps=3,cam_eval.road_shares=0.3,"
    "cam_eval.methods=gradcam+eigencam+guided"
)
OUTPUTS = {"cam_eval_scores", "cam_eval_summary", "cam_eval_verdicts", "cam_eval_figure"}
NO_PAIRS = pd.DataFrame(columns=list(PAIR_COLUMNS))


class RandomImages:
    """Random images with the interface of an image store."""

    def get(self, row: int) -> Image.Image:
        noise = np.random.default_rng(row).integers(0, 255, (6, 8, 3), dtype=np.uint8)
        return Image.fromarray(noise).resize((80, 60))


class CountingState(RunState):
    def progress_bar(self, desc, total, unit="it", items=None):
        self.bar = (desc, total, unit)
        return items


@pytest.fixture(scope="module")
def manifest() -> pd.DataFrame:
    return pd.DataFrame({"image": ["w.jpg", "x.jpg", "y.jpg", "z.jpg"]})


@pytest.fixture(scope="module")
def test_predictions() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "image": ["z.jpg", "x.jpg", "y.jpg"], "label": ["ball", "field", "ball"],
            "zero_shot_label": ["field"] * 3, "zero_shot_probability": [0.5] * 3,
            "finetuned_label": ["ball"] * 3,
            "finetuned_probability": [0.9, 0.8, 0.7],
        }
    )  # fmt: skip


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """A predictor and a CLIP folder on the smallest packaged encoders, with random heads."""
    from sports_clip_pipeline.clip.folder import write_clip_folder
    from sports_clip_pipeline.clip.projections import Projections
    from sports_clip_pipeline.encoders.image_encoders import image_preprocessing
    from sports_clip_pipeline.predictor.head import Head, Operation
    from sports_clip_pipeline.predictor.predictor import EncoderInput, Predictor

    random = np.random.default_rng(0)

    def matrix(*shape: int) -> np.ndarray:
        return random.normal(size=shape).astype(np.float32)

    transform = image_preprocessing("lite0", 96, "centre")
    head = Head((Operation("affine", {"weight": matrix(2, 1280), "bias": matrix(2)}),))
    clip = tmp_path_factory.mktemp("models") / "clip"
    projections = Projections(matrix(16, 1280), matrix(16), matrix(16, 384), 2.0)
    write_clip_folder(clip, projections, "lite0", "minilm", transform, 32)
    encoders = (EncoderInput("lite0", transform, (), 1280),)
    return {"predictor": Predictor(LABELS, encoders, head), "clip_model": clip}


def explain(manifest, choice, models, pairs=None, **changes):
    state = CountingState()
    cards = nodes.explain_images(
        RandomImages(), manifest, choice, NO_PAIRS if pairs is None else pairs,
        models["predictor"], models["clip_model"], BANK, state,
        CamConfig(picture_px=64, **changes),
    )  # fmt: skip
    return cards, state


@pytest.fixture(scope="module")
def choice(test_predictions) -> pd.DataFrame:
    return nodes.sample_images(test_predictions, CamConfig(right=1, wrong=1))


def test_images_are_chosen_by_the_finetuned_prediction(choice):
    assert list(choice["image"].isin(["z.jpg", "y.jpg"])) == [True, False]
    assert choice.loc[1].to_dict() == {
        "image": "x.jpg", "label": "field", "predicted": "ball", "probability": 0.8, "right": False,
    }  # fmt: skip


def test_correct_predictions_have_maps_of_one_class_and_wrong_ones_of_both(
    manifest, choice, models
):
    cards, state = explain(manifest, choice, models)
    questions = [
        (card.right, card.question, card.method.split(":")[0].startswith("guided"))
        for card in cards
    ]
    assert questions == [
        (True, "class: ball", False),
        (True, "class: ball", True),
        (True, "prompt: a photo of a ball.", False),
        (False, "class: ball", False),
        (False, "class: field", False),
        (False, "class: ball", True),
        (False, "prompt: a photo of a ball.", False),
        (False, "prompt: a photo of a field.", False),
    ]
    assert state.bar == ("cam", 2, "image")
    assert explain(manifest, choice, models)[0] == cards, "maps are deterministic"


def test_every_method_explains_every_target(manifest, choice, models):
    config = {"methods": "gradcam+eigencam", "guided": False, "classes": ["{predicted}"]}
    cards, _ = explain(manifest, choice, models, prompts=["a red net"], **config)
    methods = [card.method.split(":")[0] for card in cards]
    assert methods == ["GradCAM", "EigenCAM"] * 4


def test_a_confused_pair_is_contrasted_both_ways_the_prediction_first(
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
        image = RandomImages().get(list(manifest["image"]).index(card.image))
        view = model_view(models["predictor"].preprocessing, image, 64)
        assert card.photo_jpeg == jpeg(view, 80)


def test_prompts_may_be_free_text_and_without_prompts_clip_is_not_read(manifest, choice, models):
    cards, _ = explain(manifest, choice, models, classes=(), guided=False, prompts=("a red net",))
    assert {card.question for card in cards} == {"prompt: a red net"}
    without = {**models, "clip_model": Path("nowhere")}
    assert explain(manifest, choice, without, prompts=(), guided=False)[0]


def test_an_unknown_layer_or_image_is_an_error(manifest, choice, models):
    with pytest.raises(UserFacingError, match=r"cam\.layer = blocks\.99"):
        explain(manifest, choice, models, layer="blocks.99")
    with pytest.raises(UserFacingError, match=r"z\.jpg|y\.jpg"):
        explain(pd.DataFrame({"image": ["w.jpg", "x.jpg"]}), choice, models, prompts=())


def test_the_default_pipeline_leaves_cam_eval_out():
    assert not OUTPUTS & register_pipelines()["__default__"].all_outputs()


@pytest.mark.slow
def test_the_maps_of_a_finished_study_are_scored_and_reported(own_run: Path, kedro: Kedro) -> None:
    done = kedro(own_run, "run", "--pipelines=cam_eval", FEW_MAPS)
    assert done.returncode == 0, done.stderr + done.stdout[-3000:]
    reports = own_run / "data/08_reporting/sample"
    scores = pd.read_parquet(reports / "cam_eval_scores.parquet")
    assert scores["image"].nunique() == 4 and set(scores["target"]) == {"classifier", "prompts"}
    assert scores["value"].between(-1, 1).all()
    summary = pd.read_parquet(reports / "cam_eval_summary.parquet")
    assert (summary["low"] <= summary["high"]).all()
    verdicts = pd.read_parquet(reports / "cam_eval_verdicts.parquet")
    assert list(verdicts["method"]) == ["gradcam", "eigencam", "guided"] * 2
    assert (reports / "figures/cam_eval.json").is_file()
    of_eigencam = verdicts[verdicts["method"] == "eigencam"]
    assert not of_eigencam["depends_on_weights"].any(), "it does not use the head"

    again = kedro(own_run, "run", "--pipelines=report")
    assert again.returncode == 0, again.stderr
    page = (reports / "report.html").read_text(encoding="utf-8")
    assert "Measured on an earlier classifier" not in page
    assert "Can these maps be trusted?" in page
