"""Wiring of `finetune`: frozen trials, then end-to-end trials."""

from __future__ import annotations

from kedro.pipeline import Pipeline

from sports_clip_pipeline.pipelines.finetune import nodes
from sports_clip_pipeline.pipelines.wiring import named_node


def create_pipeline() -> Pipeline:
    """Few-shot trials on frozen features: development labels to learning curves and predictors."""
    return Pipeline([
        named_node(
            nodes.select_development,
            ["splits", "clip_sports_features", "zero_shot_weights", "zero_shot_head", "clip_model",
             "params:class_bank"],
            "study_data",
        ),
        named_node(
            nodes.select_test,
            ["splits", "clip_sports_features", "params:class_bank"],
            "test_data",
        ),
        named_node(
            nodes.fit_trials,
            ["study_data", "test_data", "params:class_bank", "params:finetune", "finetune_state"],
            ["finetune_trials", "finetune_curves", "trial_probabilities", "chosen_trials"],
        ),
        named_node(
            nodes.save_predictors,
            ["chosen_trials", "ensemble_predictors", "clip_model", "embed_audit",
             "params:class_bank", "params:finetune"], ["predictor", "fraction_predictors"],
        ),
        named_node(
            nodes.evaluate_predictor,
            ["predictor", "splits", "clip_sports_features", "sports_images", "sports_manifest",
             "zero_shot_predictions", "end_to_end_state"], ["test_predictions", "finetune_metrics"],
        ),
    ], tags="finetune")  # fmt: skip


def create_end_to_end_pipeline() -> Pipeline:
    """Trials that train the image encoder, alone and in ensembles with frozen ones."""
    return Pipeline([
        named_node(
            nodes.select_end_to_end,
            ["splits", "sports_images", "sports_manifest", "zero_shot_weights", "clip_model",
             "embed_audit", "params:class_bank", "params:tokenize", "params:end_to_end",
             "end_to_end_state"],
            "end_to_end_study",
        ),
        named_node(
            nodes.fit_end_to_end_trials,
            ["end_to_end_study", "splits", "sports_images", "sports_manifest", "embed_audit",
             "params:class_bank", "params:finetune", "params:end_to_end", "end_to_end_state"],
            "end_to_end_scores",
        ),
        named_node(
            nodes.build_end_to_end_ensembles,
            ["end_to_end_scores", "end_to_end_study", "study_data", "chosen_trials", "test_data",
             "embed_audit", "params:finetune", "finetune_state"],
            ["end_to_end_trials", "end_to_end_curves", "end_to_end_predictors",
             "ensemble_predictors"],
        ),
    ], tags="finetune")  # fmt: skip
