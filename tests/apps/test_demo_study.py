"""What the page says of a photograph, against what the study has written down."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sports_clip_pipeline.apps.demo_study import (
    MOST_PIXELS,
    Answer,
    Answerer,
    FinishedStudy,
    InvalidInput,
    env_of,
    open_photograph,
    open_study,
)
from sports_clip_pipeline.errors import UserFacingError
from tests.conftest import ROOT

pytestmark = pytest.mark.slow
DIFFERENCE = 5e-3  # of probabilities: the study's features are those of a faster backend


@pytest.fixture(scope="module")
def study(finished_run: Path) -> FinishedStudy:
    return open_study(finished_run, "sample")


@pytest.fixture(scope="module")
def answerer(study: FinishedStudy) -> Answerer:
    return Answerer(study)


def written(project: Path, table: str) -> pd.DataFrame:
    frame = pd.read_parquet(project / f"data/07_model_output/sample/{table}.parquet")
    return frame.set_index("image")


def image_of(project: Path, label: str, part: str = "test") -> tuple[str, Image.Image]:
    """The first photograph of a class, from the study's store."""
    from sports_clip_pipeline.data.image_store import ImageStore

    splits = pd.read_parquet(project / "data/05_model_input/sample/splits.parquet")
    manifest = pd.read_parquet(project / "data/03_primary/sample/sports_manifest.parquet")
    image = splits[(splits["split"] == part) & (splits["label"] == label)]["image"].min()
    row = int(np.flatnonzero(manifest["image"] == image)[0])
    return image, ImageStore(project / "data/03_primary/sample/sports_images").get(row)


def in_order(answer: Answer, names: tuple[str, ...]) -> np.ndarray:
    said = dict(answer.ranked)
    return np.array([said[name] for name in names])


@pytest.mark.parametrize("label", ["chess", "ice_hockey"])
def test_for_the_studys_own_names_both_answers_are_the_studys(
    answerer: Answerer, study: FinishedStudy, finished_run: Path, label: str
) -> None:
    image, photo = image_of(finished_run, label)
    given = answerer.answer(photo, study.names)
    zero_shot = written(finished_run, "zero_shot_predictions").loc[image]
    finetuned = written(finished_run, "test_predictions").loc[image]
    found = in_order(given.zero_shot, study.names)
    np.testing.assert_allclose(found, zero_shot["probabilities"], atol=DIFFERENCE)
    found = in_order(given.finetuned, study.bank.labels)
    np.testing.assert_allclose(found, finetuned["finetuned_probabilities"], atol=DIFFERENCE)


def test_other_names_change_the_zero_shot_answer_alone(
    answerer: Answerer, study: FinishedStudy
) -> None:
    photo, _ = study.samples[0]
    own, other = (answerer.answer(photo, names) for names in (study.names, ("a cat", "a lake")))
    assert {name for name, _ in other.zero_shot.ranked} == {"a cat", "a lake"}
    assert sum(share for _, share in other.zero_shot.ranked) == pytest.approx(1.0)
    assert own.finetuned == other.finetuned
    assert {name for name, _ in own.finetuned.ranked} == set(study.bank.labels)


def test_the_maps_are_pictures_in_the_photographs_shape(
    answerer: Answerer, study: FinishedStudy
) -> None:
    given = answerer.answer(Image.new("RGB", (300, 150), "green"), study.names)
    for answer in (given.zero_shot, given.finetuned):
        assert answer.map is not None and answer.map.name == answer.ranked[0][0]
        with Image.open(io.BytesIO(answer.map.jpeg)) as picture:
            assert picture.format == "JPEG" and picture.size == (448, 224)


def test_samples_are_evaluation_photographs_of_different_classes(
    study: FinishedStudy, finished_run: Path
) -> None:
    labels = [label for _, label in study.samples]
    assert len(set(labels)) == len(labels) == 8
    splits = pd.read_parquet(finished_run / "data/05_model_input/sample/splits.parquet")
    manifest = pd.read_parquet(finished_run / "data/03_primary/sample/sports_manifest.parquet")
    judges = set(splits[splits["split"] == "test"]["image"])
    from sports_clip_pipeline.data.image_store import ImageStore

    store = ImageStore(finished_run / "data/03_primary/sample/sports_images")
    bytes_of = {store.get(row).tobytes() for row in np.flatnonzero(manifest["image"].isin(judges))}
    assert all(picture.tobytes() in bytes_of for picture, _ in study.samples)


def test_a_configuration_with_other_classes_is_refused_by_name(finished_run: Path) -> None:
    with pytest.raises(UserFacingError, match=r"its 8 classes are not the 22 configured.*--env"):
        open_study(finished_run, "sample", env="real")


def test_the_environment_of_a_study_is_the_one_that_names_it() -> None:
    assert env_of(ROOT, "real") == "real"
    assert env_of(ROOT, "sample") is None and env_of(ROOT, "mine") is None


def test_what_is_no_photograph_is_told_in_a_sentence() -> None:
    bomb = SimpleNamespace(content=io.BytesIO())
    Image.new("1", (MOST_PIXELS // 5_000 + 1, 5_000)).save(bomb.content, "PNG")
    photo = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(photo, "JPEG")
    for content, sentence in (
        (b"", "The file is empty."),
        (b"<html>no photograph</html>", "This file is no photograph that can be read here"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "This file is no photograph"),
        (photo.getvalue()[:300], "ends before it is whole|is damaged"),
        (bomb.content.getvalue(), "The photograph is too large"),
    ):
        with pytest.raises(InvalidInput, match=sentence):
            open_photograph(content)
    assert open_photograph(photo.getvalue()).size == (64, 64)
