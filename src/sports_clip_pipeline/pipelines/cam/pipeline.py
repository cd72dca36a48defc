"""Wiring of the `cam` pipeline."""

from __future__ import annotations

from kedro.pipeline import Pipeline, node

from sports_clip_pipeline.pipelines.cam.nodes import (
    explain_images,
    sample_confused,
    sample_images,
)


def create_pipeline() -> Pipeline:
    """Evaluation predictions to a gallery of explained images."""
    return Pipeline(
        [
            node(sample_images, ["test_predictions", "params:cam"], "cam_choice"),
            node(
                sample_confused,
                ["test_predictions", "confusion_pairs", "params:cam"],
                "cam_pairs",
            ),
            node(
                explain_images,
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
