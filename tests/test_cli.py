import pytest
from kedro.io import DatasetError

from sports_clip_pipeline.cli import normalise_options, one_line
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.pipeline_registry import ORDER


def nested(cause: BaseException, *layers: BaseException) -> BaseException:
    for layer in layers:
        layer.__cause__, cause = cause, layer
    return cause


def test_a_user_facing_error_is_found_among_causes_and_contexts() -> None:
    cause = UserFacingError("data/a.zip", "ends after 12 bytes", "download it again")
    wrapped = nested(cause, DatasetError("Failed while loading\nArchive"), RuntimeError("node"))
    assert one_line(wrapped) == "data/a.zip: ends after 12 bytes; download it again"
    later = KeyError("raised while handling it")
    later.__context__ = cause
    assert one_line(later) == "data/a.zip: ends after 12 bytes; download it again"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"pipeline": "cam", "pipelines": ()}, {"pipeline": None, "pipelines": ["cam"]}),
        ({"pipeline": None, "pipelines": ["cam"]}, {"pipeline": None, "pipelines": ["cam"]}),
        ({"pipeline": "cam", "pipelines": ["a"]}, {"pipeline": "cam", "pipelines": ["a"]}),
        ({"pipeline": None, "pipelines": ()}, {"pipeline": None, "pipelines": ()}),
    ],
)
def test_the_option_pipeline_is_an_alias_of_pipelines(given: dict, expected: dict) -> None:
    assert normalise_options({**given, "env": "real"}) == {**expected, "env": "real"}


def pipelines_for(images: str, *pipelines: str) -> list[str] | None:
    """The pipelines that run with `predict.images` set."""
    options = {"pipeline": None, "pipelines": list(pipelines)}
    return normalise_options({**options, "params": {"predict": {"images": images}}})["pipelines"]


def test_predict_with_images_runs_predict_images() -> None:
    assert pipelines_for("mine", "predict") == ["predict_images"]
    assert pipelines_for("mine", "report", "predict") == ["report", "predict_images"]
    assert pipelines_for("mine") == [*ORDER[:-1], "predict_images"]
    older = {"pipeline": "predict", "params": {"predict": {"images": "mine"}}}
    assert normalise_options(older)["pipelines"] == ["predict_images"]


def test_predict_without_images_makes_the_submissions() -> None:
    assert pipelines_for("", "predict") == ["predict"]
    assert pipelines_for("") == []
    options = {"pipeline": None, "pipelines": ["predict"], "params": {"predict": {"maps": True}}}
    assert normalise_options(options) == options


def test_a_failing_disk_names_its_file() -> None:
    line = one_line(nested(OSError(28, "No space left on device", "out/x"), DatasetError("no")))
    assert line.startswith("out/x: No space left on device; ")
    assert one_line(OSError(5, "Input/output error")).startswith("a file of the run: ")


@pytest.mark.parametrize("error", [ValueError("one\n two"), DatasetError("one\n two")])
def test_any_other_error_is_one_line_that_names_the_verbose_option(error: Exception) -> None:
    line = one_line(error)
    assert line.startswith(f"{type(error).__name__}: one two; `kedro run --verbose`")
    assert "\n" not in line
