from __future__ import annotations

import pytest
from kedro.io import DatasetError

from sports_clip_pipeline.cli import normalise_options, one_line
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.pipeline_registry import ORDER


def nested(cause: BaseException, *layers: BaseException) -> BaseException:
    for layer in layers:
        layer.__cause__, cause = cause, layer
    return cause


def test_a_users_error_speaks_for_itself_however_deep_it_lies() -> None:
    cause = UserFacingError("data/a.zip", "ends after 12 bytes", "download it again")
    wrapped = nested(cause, DatasetError("Failed while loading\nArchive"), RuntimeError("node"))
    assert one_line(wrapped) == "data/a.zip: ends after 12 bytes; download it again"


def test_an_error_in_the_wake_of_another_is_found_by_its_context() -> None:
    try:
        try:
            raise UserFacingError("here", "is wrong", "mend it")
        except UserFacingError:
            raise KeyError("aftermath")  # noqa: B904
    except KeyError as error:
        assert one_line(error) == "here: is wrong; mend it"


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ({"pipeline": "cam", "pipelines": ()}, {"pipeline": None, "pipelines": ["cam"]}),
        ({"pipeline": None, "pipelines": ["cam"]}, {"pipeline": None, "pipelines": ["cam"]}),
        ({"pipeline": "cam", "pipelines": ["a"]}, {"pipeline": "cam", "pipelines": ["a"]}),
        ({"pipeline": None, "pipelines": ()}, {"pipeline": None, "pipelines": ()}),
    ],
)
def test_the_older_spelling_of_pipelines_means_the_same(given: dict, meant: dict) -> None:
    assert normalise_options({**given, "env": "real"}) == {**meant, "env": "real"}


def images(images: str, *pipelines: str) -> list[str] | None:
    """The pipelines that are run where these are asked for, with images named."""
    options = {"pipeline": None, "pipelines": list(pipelines)}
    return normalise_options({**options, "params": {"predict": {"images": images}}})["pipelines"]


def test_predict_with_images_means_the_pipeline_that_answers_them() -> None:
    assert images("mine", "predict") == ["predict_images"]
    assert images("mine", "report", "predict") == ["report", "predict_images"]
    assert images("mine") == [*ORDER[:-1], "predict_images"]
    older = {"pipeline": "predict", "params": {"predict": {"images": "mine"}}}
    assert normalise_options(older)["pipelines"] == ["predict_images"]


def test_predict_without_images_makes_the_submissions() -> None:
    assert images("", "predict") == ["predict"]
    assert images("") == []
    options = {"pipeline": None, "pipelines": ["predict"], "params": {"predict": {"maps": True}}}
    assert normalise_options(options) == options


def test_a_failing_disk_names_its_file() -> None:
    line = one_line(nested(OSError(28, "No space left on device", "out/x"), DatasetError("no")))
    assert line.startswith("out/x: No space left on device; ")
    assert one_line(OSError(5, "Input/output error")).startswith("a file of the run: ")


@pytest.mark.parametrize("error", [ValueError("one\n two"), DatasetError("one\n two")])
def test_anything_else_is_one_line_that_says_how_to_see_more(error: Exception) -> None:
    line = one_line(error)
    assert line.startswith(f"{type(error).__name__}: one two; `kedro run --verbose`")
    assert "\n" not in line
