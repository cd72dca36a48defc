"""One's own images answered by a finished study, as a person asks for it."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageOps

from sports_clip_pipeline import load_exported, load_predictor
from sports_clip_pipeline.encoders.image_encoders import image_preprocessing
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.io.state import RunState
from sports_clip_pipeline.pipelines.cam.config import CamConfig
from sports_clip_pipeline.pipelines.predict import nodes
from sports_clip_pipeline.pipelines.predict.config import PredictConfig
from sports_clip_pipeline.pipelines.predict.pipeline import create_predict_images_pipeline
from sports_clip_pipeline.predictor.head import Head, Operation
from sports_clip_pipeline.predictor.onnx_export import synthetic_images
from sports_clip_pipeline.predictor.predictor import Predictor
from tests.conftest import refusal

Kedro = Callable[..., CompletedProcess[str]]
SUBMISSIONS = ("submission.csv", "zero_shot_submission.csv")


def images(place: Path) -> Path:
    """A good one, one that EXIF turns, and what is none: broken, empty, text."""
    (place / "deep").mkdir(parents=True)
    good, turned = synthetic_images()[:2]
    good.save(place / "good.jpg", quality=95)
    exif = Image.Exif()
    exif[0x0112] = 3
    turned.rotate(180).save(place / "deep" / "turned.jpg", exif=exif, quality=95)
    whole = (place / "good.jpg").read_bytes()
    (place / "broken.jpg").write_bytes(whole[: len(whole) // 2])
    (place / "empty.png").write_bytes(b"")
    (place / "notes.txt").write_text("no image")
    return place


def seen_as(predictor: Predictor, *paths: Path) -> np.ndarray:
    """What the predictor says of upright images."""
    upright = [ImageOps.exif_transpose(Image.open(path)).convert("RGB") for path in paths]
    return predictor.predict_images(upright)


def check_answers(table: pd.DataFrame, predictor: Predictor, paths: list[Path]) -> None:
    """The table holds what the predictor says of these images."""
    wanted = seen_as(predictor, *paths)
    order = np.argsort(-wanted, axis=1)[:, :5]
    found = table[[f"probability_{place}" for place in range(1, 6)]].to_numpy()
    np.testing.assert_allclose(found, np.take_along_axis(wanted, order, axis=1), atol=1e-4)
    assert table["label_1"].tolist() == [predictor.classes[row[0]] for row in order]
    assert table["answer"].tolist() == predictor.answers(wanted)


@pytest.mark.slow
def test_a_folder_a_list_and_a_photograph_are_answered_without_corpora(
    own_run: Path, kedro: Kedro
) -> None:
    for room in ("01_raw", "02_intermediate", "03_primary", "04_feature", "05_model_input"):
        shutil.rmtree(own_run / "data" / room, ignore_errors=True)
    answers = own_run / "data/07_model_output/sample"
    before = [(answers / name).read_bytes() for name in SUBMISSIONS]
    mine = images(own_run / "mine")
    predictor = load_predictor(own_run / "data/06_models/sample/predictor")

    done = kedro(own_run, "run", "--pipelines=predict", "--params=predict.images=mine")
    assert done.returncode == 0, done.stderr + done.stdout
    table = pd.read_csv(answers / "predictions.csv")
    assert table["image"].tolist() == ["mine/good.jpg", "mine/deep/turned.jpg"]
    check_answers(table, predictor, [mine / "good.jpg", mine / "deep/turned.jpg"])
    failed = pd.read_csv(answers / "predictions_failed.csv").set_index("image")["reason"]
    assert failed.to_dict() == {
        "mine/broken.jpg": "truncated",
        "mine/empty.png": "empty",
        "mine/notes.txt": "not_an_image",
    }
    told = " ".join(done.stdout.split())
    assert "5 files: 2 answered" in told
    assert "3 rejected" in told
    assert not (answers / "prediction_maps").exists()

    (mine / "list.txt").write_text("deep/turned.jpg\nlost.jpg\n")
    words = "predict.images=mine/list.txt,predict.maps=true"
    done = kedro(own_run, "run", "--pipelines=predict", f"--params={words}")
    assert done.returncode == 0, done.stderr + done.stdout
    table = pd.read_csv(answers / "predictions.csv")
    assert table["image"].tolist() == ["deep/turned.jpg"]
    check_answers(table, predictor, [mine / "deep/turned.jpg"])
    failed = pd.read_csv(answers / "predictions_failed.csv")
    assert failed[["image", "reason"]].to_numpy().tolist() == [["lost.jpg", "missing"]]
    drawn = table["answer"].ne("none of these").sum()
    maps = answers / "prediction_maps"
    assert len(list(maps.iterdir()) if maps.exists() else []) == drawn
    assert [(answers / name).read_bytes() for name in SUBMISSIONS] == before

    done = kedro(own_run, "run", "--pipelines=export")
    assert done.returncode == 0, done.stderr + done.stdout
    exported = load_exported(own_run / "data/06_models/sample/exported")
    assert exported.threshold == predictor.threshold is not None
    one = Image.open(mine / "good.jpg")
    np.testing.assert_allclose(
        exported.predict_images([one]), seen_as(predictor, mine / "good.jpg"), atol=1e-4
    )


@pytest.mark.slow
def test_what_cannot_be_answered_is_one_line(
    own_run: Path, empty_project: Path, kedro: Kedro
) -> None:
    line = refusal(kedro(own_run, "run", "--pipelines=predict", "--params=predict.images=nowhere"))
    assert "parameter predict.images: nothing is at 'nowhere'" in line
    line = refusal(
        kedro(empty_project, "run", "--pipelines=predict", "--params=predict.images=src")
    )
    assert "predictor is missing; pipeline finetune makes it" in line


@pytest.fixture
def predictor() -> Predictor:
    weight = np.random.default_rng(0).normal(size=(6, 1280)).astype(np.float32)
    head = Head((Operation("affine", {"weight": weight, "bias": np.zeros(6, np.float32)}),))
    seen = image_preprocessing("lite0", 64, "full")
    return Predictor(tuple("uvwxyz"), "lite0", seen, head, 4.0, threshold=0.0)


def test_the_node_answers_by_eager_torch_and_draws_maps(
    predictor: Predictor, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mine = images(tmp_path / "mine")
    wish = PredictConfig(images=str(mine), maps=True, backend="torch", workers=1)
    with caplog.at_level(logging.INFO):
        answers, failed, maps = nodes.predict_images(
            predictor, wish, CamConfig(), RunState(tmp_path / "state")
        )
    table = pd.read_csv(answers)
    check_answers(table, predictor, [mine / "good.jpg", mine / "deep/turned.jpg"])
    assert len(pd.read_csv(failed)) == 3
    wanted = [f"{row:06d}-{label}.jpg" for row, label in enumerate(table["answer"])]
    assert sorted(path.name for path in maps.iterdir()) == wanted
    with Image.open(maps / wanted[0]) as drawn:
        assert max(drawn.size) == CamConfig().picture_px
    assert "5 files: 2 answered, 0 of them" in caplog.text


def test_the_pipeline_asks_for_the_predictor_and_for_no_corpus() -> None:
    assert create_predict_images_pipeline().inputs() == {
        "predictor", "params:predict", "params:cam", "predict_state",
    }  # fmt: skip


def test_no_images_are_refused(predictor: Predictor, tmp_path: Path) -> None:
    with pytest.raises(UserFacingError, match="names no images"):
        nodes.predict_images(predictor, PredictConfig(), CamConfig(), RunState(tmp_path / "state"))
