"""Prediction of a user's own images by a finished study."""

import logging
import shutil
from pathlib import Path

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
from sports_clip_pipeline.predictor.head import Head, Operation
from sports_clip_pipeline.predictor.onnx_export import synthetic_images
from sports_clip_pipeline.predictor.predictor import EncoderInput, Predictor
from tests.conftest import Kedro, error_line

SUBMISSIONS = ("submission.csv", "zero_shot_submission.csv")


def write_images(folder: Path) -> Path:
    """A valid image, one with an EXIF orientation, and invalid files: truncated, empty, text."""
    (folder / "deep").mkdir(parents=True)
    good, turned = synthetic_images()[:2]
    good.save(folder / "good.jpg", quality=95)
    exif = Image.Exif()
    exif[0x0112] = 3
    turned.rotate(180).save(folder / "deep" / "turned.jpg", exif=exif, quality=95)
    content = (folder / "good.jpg").read_bytes()
    (folder / "broken.jpg").write_bytes(content[: len(content) // 2])
    (folder / "empty.png").write_bytes(b"")
    (folder / "notes.txt").write_text("no image")
    return folder


def upright_probabilities(predictor: Predictor, *paths: Path) -> np.ndarray:
    """The predictor's probabilities (N, C) of upright images."""
    upright = [ImageOps.exif_transpose(Image.open(path)).convert("RGB") for path in paths]
    return predictor.predict_images(upright)


def check_predictions(table: pd.DataFrame, predictor: Predictor, *paths: Path) -> None:
    """The table holds the predictor's top five of these images."""
    expected = upright_probabilities(predictor, *paths)
    order = np.argsort(-expected, axis=1)[:, :5]
    probabilities = table[[f"probability_{rank}" for rank in range(1, 6)]].to_numpy()
    np.testing.assert_allclose(
        probabilities, np.take_along_axis(expected, order, axis=1), atol=1e-4
    )
    assert table["label_1"].tolist() == [predictor.classes[row[0]] for row in order]
    assert table["answer"].tolist() == predictor.answers(expected)


@pytest.mark.slow
def test_folders_lists_and_images_are_predicted_without_corpora(
    own_run: Path, kedro: Kedro
) -> None:
    for layer in ("01_raw", "02_intermediate", "03_primary", "04_feature", "05_model_input"):
        shutil.rmtree(own_run / "data" / layer, ignore_errors=True)
    output = own_run / "data/07_model_output/sample"
    submissions = [(output / name).read_bytes() for name in SUBMISSIONS]
    mine = write_images(own_run / "mine")
    predictor = load_predictor(own_run / "data/06_models/sample/predictor")

    def run(*arguments: str) -> str:
        done = kedro(own_run, "run", *arguments)
        assert done.returncode == 0, done.stderr + done.stdout
        return " ".join(done.stdout.split())

    printed = run("--pipelines=predict", "--params=predict.images=mine")
    table = pd.read_csv(output / "predictions.csv")
    assert table["image"].tolist() == ["mine/good.jpg", "mine/deep/turned.jpg"]
    check_predictions(table, predictor, mine / "good.jpg", mine / "deep/turned.jpg")
    failed = pd.read_csv(output / "predictions_failed.csv").set_index("image")["reason"]
    assert failed.to_dict() == {
        "mine/broken.jpg": "truncated", "mine/empty.png": "empty", "mine/notes.txt": "not_an_image",
    }  # fmt: skip
    assert "5 files: 2 answered" in printed
    assert "3 rejected" in printed
    assert not (output / "prediction_maps").exists()

    (mine / "list.txt").write_text("deep/turned.jpg\nlost.jpg\n")
    run("--pipelines=predict", "--params=predict.images=mine/list.txt,predict.maps=true")
    table = pd.read_csv(output / "predictions.csv")
    assert table["image"].tolist() == ["deep/turned.jpg"]
    check_predictions(table, predictor, mine / "deep/turned.jpg")
    failed = pd.read_csv(output / "predictions_failed.csv")
    assert failed[["image", "reason"]].to_numpy().tolist() == [["lost.jpg", "missing"]]
    maps = list((output / "prediction_maps").glob("*"))
    assert len(maps) == table["answer"].ne("none of these").sum()
    assert [(output / name).read_bytes() for name in SUBMISSIONS] == submissions

    run("--pipelines=export")
    exported = load_exported(own_run / "data/06_models/sample/exported")
    assert exported.threshold == predictor.threshold is not None
    np.testing.assert_allclose(
        exported.predict_images([Image.open(mine / "good.jpg")]),
        upright_probabilities(predictor, mine / "good.jpg"), atol=1e-4,
    )  # fmt: skip


@pytest.mark.slow
def test_missing_images_or_a_missing_predictor_end_in_one_line(
    own_run: Path, empty_project: Path, kedro: Kedro
) -> None:
    predict = ("run", "--pipelines=predict")
    line = error_line(kedro(own_run, *predict, "--params=predict.images=nowhere"))
    assert "parameter predict.images: nothing is at 'nowhere'" in line
    line = error_line(kedro(empty_project, *predict, "--params=predict.images=src"))
    assert "predictor is missing; pipeline finetune makes it" in line


@pytest.fixture
def predictor() -> Predictor:
    weight = np.random.default_rng(0).normal(size=(6, 1280)).astype(np.float32)
    head = Head((Operation("affine", {"weight": weight, "bias": np.zeros(6, np.float32)}),))
    encoders = (EncoderInput("lite0", image_preprocessing("lite0", 64, "full"), (), 1280),)
    return Predictor(tuple("uvwxyz"), encoders, head, 4.0, threshold=0.0)


def test_the_node_predicts_with_eager_torch_and_writes_maps(
    predictor: Predictor, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mine = write_images(tmp_path / "mine")
    config = PredictConfig(images=str(mine), maps=True, backend="torch", workers=1)
    with caplog.at_level(logging.INFO):
        predictions, failed, maps = nodes.predict_images(
            predictor, config, CamConfig(), RunState(tmp_path / "state")
        )
    table = pd.read_csv(predictions)
    check_predictions(table, predictor, mine / "good.jpg", mine / "deep/turned.jpg")
    assert len(pd.read_csv(failed)) == 3
    names = [f"{row:06d}-{label}.jpg" for row, label in enumerate(table["answer"])]
    assert sorted(path.name for path in maps.iterdir()) == names
    with Image.open(maps / names[0]) as image:
        assert max(image.size) == CamConfig().picture_px
    assert "5 files: 2 answered, 0 of them" in caplog.text


def test_a_configuration_without_images_is_an_error(predictor: Predictor, tmp_path: Path) -> None:
    with pytest.raises(UserFacingError, match="names no images"):
        nodes.predict_images(predictor, PredictConfig(), CamConfig(), RunState(tmp_path / "state"))
