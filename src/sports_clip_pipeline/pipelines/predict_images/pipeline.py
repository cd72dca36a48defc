"""Wiring of `predict_images`, which is not part of the default run.

`kedro run --pipelines=predict --params=predict.images=PATH` means this pipeline: `cli.py` says so.
"""

from __future__ import annotations

from kedro.pipeline import Pipeline, node

from sports_clip_pipeline.pipelines.predict_images.nodes import answer_photographs


def create_pipeline() -> Pipeline:
    """The shipped predictor and a path to answers; no corpus is asked for."""
    return Pipeline(
        [
            node(
                answer_photographs,
                ["predictor", "params:predict", "params:cam", "predict_journal"],
                ["predictions", "predictions_failed", "prediction_maps"],
                name="answer_photographs",
            )
        ],
        tags="predict_images",
    )
