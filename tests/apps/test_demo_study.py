"""The demo's predictions against those that the study saved."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sports_clip_pipeline.apps.demo_study import (
    MAX_NAMES,
    MAX_PIXELS,
    FinishedStudy,
    InvalidInput,
    Prediction,
    environment_of,
    open_image,
    open_study,
    parse_names,
)
from sports_clip_pipeline.data.image_store import ImageStore
from sports_clip_pipeline.errors import UserFacingError
from tests.conftest import ROOT

DIFFERENCE = 5e-3  # of probabilities: the study's features are those of a faster backend


@pytest.fixture(scope="module")
def study(finished_run: Path) -> FinishedStudy:
    return open_study(finished_run, "sample")


def saved(project: Path, table: str) -> pd.DataFrame:
    frame = pd.read_parquet(project / f"data/07_model_output/sample/{table}.parquet")
    return frame.set_index("image")


def store_and_rows(project: Path) -> tuple[ImageStore, pd.DataFrame]:
    """The labelled images, and the test images with their row in the store."""
    splits = pd.read_parquet(project / "data/05_model_input/sample/splits.parquet")
    manifest = pd.read_parquet(project / "data/03_primary/sample/sports_manifest.parquet")
    rows = pd.Series(np.arange(len(manifest)), index=manifest["image"])
    test = splits[splits["split"] == "test"].sort_values("image")
    store = ImageStore(project / "data/03_primary/sample/sports_images")
    return store, test.assign(row=rows.loc[test["image"]].to_numpy())


def in_order(prediction: Prediction, names: tuple[str, ...]) -> np.ndarray:
    shares = dict(prediction.ranked)
    return np.array([shares[name] for name in names])


@pytest.mark.slow
@pytest.mark.parametrize("label", ["chess", "ice_hockey"])
def test_for_the_studys_own_names_both_predictions_are_the_studys(
    study: FinishedStudy, finished_run: Path, label: str
) -> None:
    store, test = store_and_rows(finished_run)
    image, row = test.loc[test["label"] == label, ["image", "row"]].iloc[0]
    zero_shot, finetuned = study.predict(store.get(row), study.names)
    expected = saved(finished_run, "zero_shot_predictions").loc[image, "probabilities"]
    np.testing.assert_allclose(in_order(zero_shot, study.names), expected, atol=DIFFERENCE)
    expected = saved(finished_run, "test_predictions").loc[image, "finetuned_probabilities"]
    np.testing.assert_allclose(in_order(finetuned, study.bank.labels), expected, atol=DIFFERENCE)


@pytest.mark.slow
def test_other_names_change_the_zero_shot_prediction_alone(study: FinishedStudy) -> None:
    image, _ = study.samples[0]
    own, other = (study.predict(image, names) for names in (study.names, ("a cat", "a lake")))
    assert {name for name, _ in other[0].ranked} == {"a cat", "a lake"}
    assert sum(share for _, share in other[0].ranked) == pytest.approx(1.0)
    assert own[1] == other[1]
    assert {name for name, _ in own[1].ranked} == set(study.bank.labels)


@pytest.mark.slow
def test_maps_have_the_aspect_ratio_of_the_image(study: FinishedStudy) -> None:
    for prediction in study.predict(Image.new("RGB", (300, 150), "green"), study.names):
        assert prediction.map_jpeg is not None
        with Image.open(io.BytesIO(prediction.map_jpeg)) as picture:
            assert picture.format == "JPEG" and picture.size == (448, 224)


@pytest.mark.slow
def test_samples_are_test_images_of_different_classes(
    study: FinishedStudy, finished_run: Path
) -> None:
    labels = [label for _, label in study.samples]
    assert len(set(labels)) == len(labels) == 8
    store, test = store_and_rows(finished_run)
    contents = {store.get(row).tobytes() for row in test["row"]}
    assert all(image.tobytes() in contents for image, _ in study.samples)


@pytest.mark.slow
def test_a_configuration_with_other_classes_is_rejected(finished_run: Path) -> None:
    with pytest.raises(UserFacingError, match=r"its 8 classes are not the 22 configured.*--env"):
        open_study(finished_run, "sample", env="real")


def test_the_environment_of_a_study_is_the_one_that_names_it() -> None:
    assert environment_of(ROOT, "real") == "real"
    assert environment_of(ROOT, "sample") is None and environment_of(ROOT, "mine") is None


def test_files_that_are_no_usable_image_get_a_sentence() -> None:
    bomb, image = io.BytesIO(), io.BytesIO()
    Image.new("1", (MAX_PIXELS // 5_000 + 1, 5_000)).save(bomb, "PNG")
    Image.new("RGB", (64, 64), "red").save(image, "JPEG")
    for content, sentence in (
        (b"", "The file is empty."),
        (b"<html>no image</html>", "This file is no image that can be read here"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "This file is no image"),
        (image.getvalue()[:300], "is truncated|is damaged"),
        (bomb.getvalue(), "The image is too large"),
    ):
        with pytest.raises(InvalidInput, match=sentence):
            open_image(content)
    assert open_image(image.getvalue()).size == (64, 64)


def test_names_are_separated_by_commas_semicolons_and_lines_and_unique_in_any_case() -> None:
    typed = " tennis,  ice   hockey\nchess;a dog ,\n\n;Tennis,CHESS"
    assert parse_names(typed) == ("tennis", "ice hockey", "chess", "a dog")


@pytest.mark.parametrize("typed", ["", " , ;\n", "tennis", "tennis, Tennis"])
def test_fewer_than_two_names_are_rejected(typed: str) -> None:
    with pytest.raises(InvalidInput, match="at least two class names"):
        parse_names(typed)


def test_too_many_and_too_long_names_are_rejected() -> None:
    names = [f"class {n}" for n in range(MAX_NAMES)]
    assert len(parse_names(",".join(names))) == MAX_NAMES
    with pytest.raises(InvalidInput, match=f"There are {MAX_NAMES + 1} class names"):
        parse_names(",".join([*names, "one more"]))
    with pytest.raises(InvalidInput, match="has 81 characters"):
        parse_names(f"tennis, {'x' * 81}")
