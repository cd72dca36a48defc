"""Wiring of the `cam` pipeline."""

from kedro.pipeline import Pipeline

from sports_clip_pipeline.pipelines.cam import nodes
from sports_clip_pipeline.pipelines.wiring import named_node


def create_pipeline() -> Pipeline:
    """Evaluation predictions to a gallery of explained images."""
    return Pipeline([
        named_node(nodes.sample_images, "cam_choice"),
        named_node(nodes.sample_confused, "cam_pairs"),
        named_node(nodes.explain_images, "cam_gallery"),
    ])  # fmt: skip


def create_cam_eval_pipeline() -> Pipeline:
    """Evaluation predictions to a table, a summary, verdicts and a figure of how maps did."""
    return Pipeline([
        named_node(nodes.measure_maps, "cam_eval_scores"),
        named_node(nodes.summarise_maps, "cam_eval_summary"),
        named_node(nodes.verdict_of_methods, "cam_eval_verdicts"),
        named_node(nodes.draw_maps_figure, "cam_eval_figure"),
    ])  # fmt: skip
