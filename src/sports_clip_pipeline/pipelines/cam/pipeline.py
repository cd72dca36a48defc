"""Wiring of the `cam` pipeline."""

from __future__ import annotations

from kedro.pipeline import Pipeline, node

from sports_clip_pipeline.pipelines.cam.nodes import (
    choose_confused,
    choose_photographs,
    explain_photographs,
)


def create_pipeline() -> Pipeline:
    """Evaluation predictions to a gallery of explained photographs."""
    return Pipeline(
        [
            node(choose_photographs, ["test_predictions", "params:cam"], "cam_choice"),
            node(
                choose_confused,
                ["test_predictions", "confusion_pairs", "params:cam"],
                "cam_pairs",
            ),
            node(
                explain_photographs,
                [
                    "sports_images",
                    "sports_manifest",
                    "cam_choice",
                    "cam_pairs",
                    "predictor",
                    "clip_model",
                    "params:class_bank",
                    "cam_journal",
                    "params:cam",
                ],
                "cam_gallery",
            ),
        ]
    )
