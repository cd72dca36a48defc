"""Wiring of `finetune`."""

from __future__ import annotations

from kedro.pipeline import Pipeline, node

from sports_clip_pipeline.pipelines.finetune import nodes


def create_pipeline() -> Pipeline:
    """Development labels to learning curves and one predictor."""
    return Pipeline(
        [
            node(
                nodes.select_development,
                ["splits", "sports_features", "text_anchors", "clip_model", "params:class_bank"],
                "study_data",
                name="select_development",
            ),
            node(
                nodes.fit_arms,
                [
                    "study_data",
                    "splits",
                    "sports_features",
                    "params:class_bank",
                    "embed_audit",
                    "ingest_audit",
                    "params:finetune",
                    "finetune_journal",
                ],
                ["finetune_arms", "finetune_curves", "best_arm"],
                name="fit_arms",
            ),
            node(
                nodes.keep_predictor,
                ["best_arm", "embed_audit", "params:class_bank"],
                "predictor",
                name="keep_predictor",
            ),
            node(
                nodes.judge_predictor,
                ["predictor", "splits", "sports_features", "zero_shot_predictions"],
                ["evaluation_predictions", "finetune_metrics"],
                name="judge_predictor",
            ),
        ],
        tags="finetune",
    )
