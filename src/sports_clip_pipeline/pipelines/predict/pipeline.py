"""Wiring of `predict`."""

from __future__ import annotations

from kedro.pipeline import Pipeline, node

from sports_clip_pipeline.pipelines.predict import nodes


def create_pipeline() -> Pipeline:
    """Predictor and zero-shot table to the two submissions."""
    return Pipeline(
        [
            node(
                nodes.predict_test,
                [
                    "predictor",
                    "clip_sports_features",
                    "sports_images",
                    "sports_manifest",
                    "splits",
                    "submission_order",
                    "predict_journal",
                ],
                "submission",
                name="predict_test",
            ),
            node(
                nodes.predict_test_without_labels,
                ["zero_shot_unlabelled_predictions", "submission_order"],
                "zero_shot_submission",
                name="predict_test_without_labels",
            ),
        ],
        tags="predict",
    )
