"""Wiring of the analysis of the study, a part of `finetune`."""

from __future__ import annotations

from kedro.pipeline import Pipeline

from sports_clip_pipeline.pipelines.analysis import nodes
from sports_clip_pipeline.pipelines.wiring import named_node


def create_pipeline() -> Pipeline:
    """Fitted trials to the tables that the report reads."""
    return Pipeline([
        named_node(
            nodes.count_labels_needed,
            ["finetune_curves", "trial_probabilities", "test_data", "params:analysis"],
            "labels_needed",
        ),
        named_node(
            nodes.compare_methods,
            ["finetune_trials", "trial_probabilities", "zero_shot_predictions", "test_data",
             "params:analysis"],
            "paired_comparisons",
        ),
        named_node(
            nodes.measure_calibration,
            ["trial_probabilities", "zero_shot_predictions", "test_data", "params:analysis"],
            ["calibration", "reliability"],
        ),
        named_node(
            nodes.trace_classes,
            ["chosen_trials", "trial_probabilities", "zero_shot_predictions", "test_data",
             "params:class_bank", "params:analysis"],
            ["class_gains", "confusion_pairs"],
        ),
        named_node(
            nodes.measure_abstention,
            ["predictor", "test_predictions", "captions", "flickr8k_images",
             "clip_flickr8k_features", "params:class_bank", "params:finetune", "predict_state"],
            "abstention",
        ),
        named_node(
            nodes.find_label_issues,
            ["chosen_trials", "study_data", "params:class_bank", "params:analysis"],
            "label_issues",
        ),
        named_node(
            nodes.query_labels,
            ["chosen_trials", "study_data", "params:class_bank", "params:analysis"],
            "label_queries",
        ),
        named_node(
            nodes.measure_inference_cost,
            ["finetune_curves", "end_to_end_curves", "embed_audit", "sports_images",
             "feature_cache", "params:embed", "params:end_to_end"],
            "inference_cost",
        ),
        named_node(
            nodes.recommend_method,
            ["finetune_curves", "labels_needed", "paired_comparisons", "inference_cost",
             "end_to_end_curves", "params:report"],
            "recommendation",
        ),
        named_node(
            nodes.log_evaluation,
            ["finetune_trials", "end_to_end_trials", "finetune_metrics", "ingest_audit"],
            "evaluation_log",
        ),
    ], tags="finetune")  # fmt: skip
