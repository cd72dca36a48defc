"""Images measured on a network that looks at one patch, whose explanation is known."""

import pickle
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

from sports_clip_pipeline.data.transforms import ImageTransform
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.explain import measurement
from sports_clip_pipeline.explain.measurement import (
    COLUMNS,
    CORRELATION,
    Item,
    Work,
    measure_images,
    plan_items,
)
from sports_clip_pipeline.explain.networks import Network
from sports_clip_pipeline.explain.verdicts import explanation_verdicts, summarise_explanations
from sports_clip_pipeline.io.state import RunState
from sports_clip_pipeline.pipelines.cam.config import CamEvalConfig

SIDE = 32
METHODS = ("gradcam", "eigencam", "scorecam", "guided")
CONFIG = CamEvalConfig(
    methods=METHODS, steps=4, workers=1, scorecam_images=2, randomised_images=3, stages=1
)


class RedCorner(nn.Module):
    """Score 0 is the red of the upper left quarter; score 1 is a constant a little above none."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = nn.Sequential(nn.Conv2d(3, 2, 1, bias=False), nn.AvgPool2d(4), nn.ReLU())
        self.head = nn.Linear(2 * 64, 2)
        with torch.no_grad():
            self.maps[0].weight.copy_(torch.eye(2, 3)[:, :, None, None])
            corner = torch.zeros(2, 8, 8)
            corner[0, :4, :4] = 0.5
            self.head.weight.copy_(torch.stack([corner.flatten(), torch.zeros(128)]))
            self.head.bias.copy_(torch.tensor([0.0, 4.0]))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.head(self.maps(pixels).flatten(1))


class CornerNetwork(Network):
    head = property(lambda self: list(self.module.head.parameters()))
    stages = property(lambda self: [list(self.module.maps.parameters())])


def build() -> list[Network]:
    module = RedCorner().eval()
    transform = ImageTransform(SIDE, (0.0,) * 3, (1.0,) * 3)
    return [CornerNetwork("classifier", module, module.maps, transform, ("red", "none"))]


class Store:
    """Images with a red corner on a noisy ground; the last one has none."""

    def get(self, row: int) -> Image.Image:
        noise = np.random.default_rng(row).integers(0, 100, (SIDE, SIDE, 3), dtype=np.uint8)
        if row != 7:
            noise[: SIDE // 2, : SIDE // 2, 0] = 255
        return Image.fromarray(noise)


@pytest.fixture(scope="module")
def items() -> tuple[Item, ...]:
    draw = pd.DataFrame({"image": [f"{n} .jpg" for n in range(8)], "label": ["red"] * 8})
    return plan_items(draw, draw.assign(stored_sha256=[str(n) for n in range(8)]), CONFIG)


@pytest.fixture(scope="module")
def work() -> Work:
    return Work(Store(), build, "network 1", (0, 1, 2), CONFIG)


class Interrupted(RunState):
    """Is interrupted after three images."""

    def save_state(self, *arguments, **options):
        super().save_state(*arguments, **options)
        if len(self._states) == 3:
            raise KeyboardInterrupt


@pytest.fixture
def measured(monkeypatch) -> list[Item]:
    """Items that are measured, not read."""
    measured: list[Item] = []
    real = measurement._measure
    monkeypatch.setattr(measurement, "_measure", lambda item: measured.append(item) or real(item))
    return measured


@pytest.fixture(scope="module")
def scores(items, work) -> pd.DataFrame:
    return measure_images(items, work, RunState())


def value(scores: pd.DataFrame, image: str, method: str, measure: str) -> float:
    row = scores[
        (scores["image"] == image) & (scores["method"] == method) & (scores["measure"] == measure)
    ]
    return float(row["value"].iloc[0])


def test_every_image_has_every_method_baseline_and_measure(scores, items):
    assert tuple(scores.columns) == COLUMNS
    assert list(dict.fromkeys(scores["image"])) == [item.image for item in items]
    first = scores[scores["image"] == "0 .jpg"]
    assert set(first["method"]) == {*METHODS, "centre", "random"}
    faithful = {"road", "road_morf", "road_lerf", "insertion", "deletion"}
    levels = {f"{CORRELATION}head", f"{CORRELATION}head and 1/1 of the encoder"}
    assert set(first.loc[first["method"] == "gradcam", "measure"]) == faithful | levels
    assert set(first.loc[first["method"] == "random", "measure"]) == faithful


def test_scorecam_and_shuffled_weights_are_for_the_first_of_the_draw_alone(scores):
    images = scores.groupby("method")["image"].nunique()
    assert images["scorecam"] == 2 and images["gradcam"] == 8
    shuffled = scores[scores["measure"].str.startswith(CORRELATION)]
    assert set(shuffled["image"]) == {"0 .jpg", "1 .jpg", "2 .jpg"}


def test_the_networks_own_prediction_is_explained(scores):
    answers = scores.drop_duplicates("image").set_index("image")
    assert answers.loc["0 .jpg", "answer"] == "red" and bool(answers.loc["0 .jpg", "right"])
    assert answers.loc["7 .jpg", "answer"] == "none" and not answers.loc["7 .jpg", "right"]


def test_a_zero_gradient_is_measured_as_a_zero_map(scores):
    assert value(scores, "7 .jpg", "gradcam", "road") == pytest.approx(0.0, abs=0.02)


def test_the_true_map_beats_the_baselines_and_the_weightless_one_fails_the_check(scores):
    red = scores[scores["answer"] == "red"]
    summary = summarise_explanations(red, 500, seed=0)
    verdicts = explanation_verdicts(summary, 0.5).set_index("method")
    assert verdicts.loc["gradcam", "beats_baselines"]
    assert value(scores, "0 .jpg", "gradcam", "deletion") < value(
        scores, "0 .jpg", "centre", "deletion"
    )
    assert verdicts.loc["eigencam", "depends_on_weights"] == False  # noqa: E712
    assert value(scores, "0 .jpg", "eigencam", f"{CORRELATION}head") == pytest.approx(1.0)


def test_a_killed_run_resumes_and_gives_the_same(items, work, scores, measured):
    run_state = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        measure_images(items, work, run_state)
    again = measure_images(items, work, run_state)
    assert measured == list(items)
    pd.testing.assert_frame_equal(again, scores)


@pytest.mark.parametrize(
    ("change", "sha256"),
    [
        ({"identity": "network 2"}, "0"),
        ({"config": CONFIG.model_copy(update={"steps": 5})}, "0"),
        ({"fitted_on": (3,)}, "0"),
        ({}, "another"),
    ],
)
def test_other_networks_settings_or_images_are_measured_again(
    items, work, change, sha256, measured
):
    run_state = RunState()
    measure_images(items[:1], work, run_state)
    measure_images([replace(items[0], sha256=sha256)], replace(work, **change), run_state)
    assert len(measured) == 2


def test_a_larger_run_reuses_measured_images(items, work, measured):
    run_state = RunState()
    measure_images(items[:2], work, run_state)
    larger = replace(work, config=CONFIG.model_copy(update={"images": 500, "resamples": 300}))
    measure_images(items[:3], larger, run_state)
    assert measured == list(items[:3])


@pytest.mark.slow
def test_several_processes_give_what_one_gives(items, work, scores, tmp_path):
    several = replace(work, config=CONFIG.model_copy(update={"workers": 2}))
    found = measure_images(items, several, RunState(tmp_path))
    pd.testing.assert_frame_equal(found, scores)


def test_hooks_and_tensors_do_not_accumulate(work, living_tensors):
    def measure(numbers: range) -> None:
        names = [f"{n}.jpg" for n in numbers]
        draw = pd.DataFrame({"image": names, "label": ["red"] * len(names)})
        items = plan_items(draw, draw.assign(stored_sha256=names), CONFIG)
        measure_images(items, work, RunState())

    measure(range(1))
    before = living_tensors()
    measure(range(8))
    assert living_tensors() == before


def test_an_image_that_is_not_in_the_store_is_an_error():
    draw = pd.DataFrame({"image": ["a.jpg"], "label": ["red"]})
    with pytest.raises(UserFacingError, match=r"first a\.jpg"):
        plan_items(draw, pd.DataFrame({"image": ["b.jpg"], "stored_sha256": [""]}), CONFIG)


def test_work_can_be_pickled():
    work = Work(Store(), partial(build), "x", (0,), CONFIG)
    assert pickle.loads(pickle.dumps(work)).config == CONFIG
