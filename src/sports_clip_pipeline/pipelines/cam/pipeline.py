"""Wiring of the `cam` pipeline."""

from __future__ import annotations

from kedro.pipeline import Pipeline

from sports_clip_pipeline.pipelines.cam.nodes import (
    draw_maps_figure,
    explain_images,
    measure_maps,
    sample_confused,
    sample_images,
    summarise_maps,
    verdict_of_methods,
)
from sports_clip_pipeline.pipelines.wiring import named_node


def create_pipeline() -> Pipeline:
    """Evaluation predictions to a gallery of explained images."""
    return Pipeline([
        named_node(sample_images, ["test_predictions", "params:cam"], "cam_choice"),
        named_node(
            sample_confused,
            ["test_predictions", "confusion_pairs", "params:cam"],
            "cam_pairs",
        ),
        named_node(
            explain_images,
            ["sports_images", "sports_manifest", "cam_choice", "cam_pairs", "predictor",
             "clip_model", "params:class_bank", "cam_state", "params:cam"],
            "cam_gallery",
        ),
    ])  # fmt: skip


def create_cam_eval_pipeline() -> Pipeline:
    """Evaluation predictions to a table, a summary, verdicts and a figure of how maps did."""
    return Pipeline([
        named_node(
            measure_maps,
            ["test_predictions", "sports_images", "sports_manifest", "predictor", "clip_model",
             "params:class_bank", "cam_eval_state", "params:cam_eval"],
            "cam_eval_scores",
        ),
        named_node(
            summarise_maps,
            ["cam_eval_scores", "cam_eval_state", "params:cam_eval"],
            "cam_eval_summary",
        ),
        named_node(
            verdict_of_methods,
            ["cam_eval_summary", "test_predictions", "params:cam_eval"],
            "cam_eval_verdicts",
        ),
        named_node(draw_maps_figure, "cam_eval_summary", "cam_eval_figure"),
    ])  # fmt: skip
