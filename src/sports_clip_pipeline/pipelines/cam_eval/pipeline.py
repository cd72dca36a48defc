"""Wiring of the `cam_eval` pipeline."""

from __future__ import annotations

from kedro.pipeline import Pipeline, node

from sports_clip_pipeline.pipelines.cam_eval.nodes import (
    draw_maps_figure,
    judge_methods,
    measure_maps,
    summarise_maps,
)


def create_pipeline() -> Pipeline:
    """Evaluation predictions to a table, a summary, verdicts and a figure of how maps did."""
    return Pipeline(
        [
            node(
                measure_maps,
                [
                    "test_predictions",
                    "sports_images",
                    "sports_manifest",
                    "predictor",
                    "clip_model",
                    "params:class_bank",
                    "cam_eval_journal",
                    "params:cam_eval",
                ],
                "cam_eval_scores",
            ),
            node(
                summarise_maps,
                ["cam_eval_scores", "cam_eval_journal", "params:cam_eval"],
                "cam_eval_summary",
            ),
            node(
                judge_methods,
                ["cam_eval_summary", "test_predictions", "params:cam_eval"],
                "cam_eval_verdicts",
            ),
            node(draw_maps_figure, "cam_eval_summary", "cam_eval_figure"),
        ]
    )
