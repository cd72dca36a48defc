"""Wiring of `predict`."""

from kedro.pipeline import Pipeline

from sports_clip_pipeline.pipelines.predict import nodes
from sports_clip_pipeline.pipelines.wiring import named_node


def create_pipeline() -> Pipeline:
    """Predictor and zero-shot table to the two submissions."""
    return Pipeline([
        named_node(nodes.predict_test, "submission"),
        named_node(nodes.predict_test_without_labels, "zero_shot_submission"),
    ], tags="predict")  # fmt: skip


def create_export_pipeline() -> Pipeline:
    """The shipped predictor to a folder that needs ONNX Runtime, NumPy and Pillow alone."""
    return Pipeline([
        named_node(nodes.export_network, "exported_predictor"),
    ], tags="export")  # fmt: skip


def create_predict_images_pipeline() -> Pipeline:
    """The shipped predictor and a path to answers; no corpus is asked for."""
    return Pipeline([
        named_node(nodes.predict_images, ["predictions", "predictions_failed", "prediction_maps"]),
    ], tags="predict_images")  # fmt: skip
