"""The static Kedro-Viz site of a finished study."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from sports_clip_pipeline.pipelines.report.pipeline import FIGURES
from tests.conftest import linked_study

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def previews(kedro, finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The metadata of each dataset in the static site, by name."""
    project = linked_study(finished_run, tmp_path_factory.mktemp("viz") / "project")
    built = kedro(project, "viz", "build", "--include-previews")
    assert built.returncode == 0, built.stderr[-2000:]
    api = project / "build" / "api"
    nodes = json.loads((api / "main").read_text(encoding="utf-8"))["nodes"]
    return {
        node["name"]: json.loads((api / "nodes" / node["id"]).read_text(encoding="utf-8"))
        for node in nodes
        if node["type"] == "data" and (api / "nodes" / node["id"]).is_file()
    }


@pytest.mark.parametrize("name", [f"{name}_figure" for name in FIGURES])
def test_every_figure_has_a_preview_with_its_traces(previews, name: str) -> None:
    shown = previews[name]
    assert shown["preview_type"] == "PlotlyPreview"
    assert shown["preview"]["data"] and shown["preview"]["layout"]["height"] > 0


def test_the_gallery_previews_an_image_and_the_predictions_a_table(previews) -> None:
    gallery, table = previews["cam_gallery"], previews["test_predictions"]
    assert gallery["preview_type"] == "ImagePreview"
    assert base64.b64decode(gallery["preview"]).startswith(b"\x89PNG")
    assert table["preview_type"] == "TablePreview"
    assert {"zero_shot_top5", "finetuned_top5"} <= set(table["preview"]["columns"])
    assert len(table["preview"]["data"]) == 5
