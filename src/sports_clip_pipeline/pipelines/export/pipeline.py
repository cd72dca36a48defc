"""Wiring of `export`, which is not part of the default run."""

from __future__ import annotations

from kedro.pipeline import Pipeline, node

from sports_clip_pipeline.pipelines.export.nodes import export_network


def create_pipeline() -> Pipeline:
    """The shipped predictor to a folder that needs ONNX Runtime, NumPy and Pillow alone."""
    return Pipeline(
        [
            node(
                export_network,
                ["predictor", "predict_journal"],
                "exported_predictor",
                name="export_network",
            )
        ],
        tags="export",
    )
