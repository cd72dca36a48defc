"""The DAG as a static site: Kedro-Viz shows what a finished study left."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from sports_clip_pipeline.pipelines.report.pipeline import FIGURES

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def previews(kedro, finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the static site says of each dataset, by name."""
    from tests.conftest import linked_study

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


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_has_a_preview_with_its_traces(previews, name: str) -> None:
    shown = previews[name]

    assert shown["preview_type"] == "PlotlyPreview"
    assert shown["preview"]["data"] and shown["preview"]["layout"]["height"] > 0


def test_the_gallery_has_a_picture_as_its_preview(previews) -> None:
    shown = previews["cam_gallery"]

    assert shown["preview_type"] == "ImagePreview"
    assert base64.b64decode(shown["preview"]).startswith(b"\x89PNG")


def test_the_table_of_both_answers_has_its_first_rows_as_its_preview(previews) -> None:
    shown = previews["test_predictions"]

    assert shown["preview_type"] == "TablePreview"
    assert {"zero_shot_top5", "finetuned_top5"} <= set(shown["preview"]["columns"])
    assert len(shown["preview"]["data"]) == 5
