"""Wiring of the end-to-end trials, a part of `finetune`."""

from __future__ import annotations

from kedro.pipeline import Pipeline

from sports_clip_pipeline.pipelines.end_to_end import nodes
from sports_clip_pipeline.pipelines.wiring import named_node


def create_pipeline() -> Pipeline:
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
