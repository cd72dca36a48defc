from __future__ import annotations

import typing
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from sports_clip_pipeline.pipeline_registry import register_pipelines
from sports_clip_pipeline.pipelines.cam import nodes
from sports_clip_pipeline.pipelines.cam.config import CamEvalConfig
from sports_clip_pipeline.pipelines.cam.pipeline import create_cam_eval_pipeline

FEW = (
    "--params=cam_eval.images=4,cam_eval.randomised_images=1,"
    "cam_eval.scorecam_images=0,cam_eval.steps=3,cam_eval.road_shares=0.3,"
    "cam_eval.methods=gradcam+eigencam+guided"
)
OUTPUTS = {"cam_eval_scores", "cam_eval_summary", "cam_eval_verdicts", "cam_eval_figure"}


def test_the_wiring_takes_from_the_catalog_what_the_plan_says():
    pipeline = create_cam_eval_pipeline()
    assert pipeline.inputs() == {
        "test_predictions",
        "sports_images",
        "sports_manifest",
        "predictor",
        "clip_model",
        "params:class_bank",
        "cam_eval_state",
        "params:cam_eval",
    }
    assert pipeline.all_outputs() == OUTPUTS


def test_a_plain_run_leaves_it_out():
    assert not OUTPUTS & register_pipelines()["__default__"].all_outputs()


@pytest.mark.parametrize(
    "node", [nodes.measure_maps, nodes.summarise_maps, nodes.verdict_of_methods]
)
def test_every_hint_resolves_at_run_time(node):
    assert typing.get_type_hints(node)["cam_eval"] is CamEvalConfig


@pytest.mark.slow
def test_a_finished_study_is_measured_and_its_page_says_so(own_run: Path, kedro: Callable) -> None:
    done = kedro(own_run, "run", "--pipelines=cam_eval", FEW)
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
    assert not of_eigencam["depends_on_weights"].any()  # it never looks at the head

    again = kedro(own_run, "run", "--pipelines=report")
    assert again.returncode == 0, again.stderr
    page = (reports / "report.html").read_text(encoding="utf-8")
    assert "Measured on an earlier classifier" not in page
    assert "Can these maps be trusted?" in page
