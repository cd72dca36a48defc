"""Wiring of the analysis of the study, a part of `finetune`."""

from kedro.pipeline import Pipeline

from sports_clip_pipeline.pipelines.analysis import nodes
from sports_clip_pipeline.pipelines.wiring import named_node


def create_pipeline() -> Pipeline:
    """Fitted trials to the tables that the report reads."""
    return Pipeline([
        named_node(nodes.count_labels_needed, "labels_needed"),
        named_node(nodes.compare_methods, "paired_comparisons"),
        named_node(nodes.measure_calibration, ["calibration", "reliability"]),
        named_node(nodes.trace_classes, ["class_gains", "confusion_pairs"]),
        named_node(nodes.measure_abstention, "abstention"),
        named_node(nodes.find_label_issues, "label_issues"),
        named_node(nodes.query_labels, "label_queries"),
        named_node(nodes.measure_inference_cost, "inference_cost"),
        named_node(nodes.recommend_method, "recommendation"),
        named_node(nodes.log_evaluation, "evaluation_log"),
    ], tags="finetune")  # fmt: skip
