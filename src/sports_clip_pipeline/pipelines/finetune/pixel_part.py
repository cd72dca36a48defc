"""Wiring of the pixel plan; `create_pipeline` adds it to `finetune`."""

from __future__ import annotations

from kedro.pipeline import Pipeline, node

from sports_clip_pipeline.pipelines.finetune import pixel_nodes


def pixel_part() -> Pipeline:
    """Arms that train through the tower, alone and joined to the feature plan's; their curves."""
    return Pipeline(
        [
            node(
                pixel_nodes.select_pixels,
                [
                    "splits",
                    "sports_images",
                    "sports_manifest",
                    "text_anchors",
                    "clip_model",
                    "embed_audit",
                    "params:class_bank",
                    "params:tokenize",
                    "params:pixels",
                    "pixel_journal",
                ],
                "pixel_study",
                name="select_pixels",
            ),
            node(
                pixel_nodes.fit_pixel_arms,
                [
                    "pixel_study",
                    "splits",
                    "sports_images",
                    "sports_manifest",
                    "embed_audit",
                    "ingest_audit",
                    "params:class_bank",
                    "params:finetune",
                    "params:pixels",
                    "pixel_journal",
                ],
                "pixel_scores",
                name="fit_pixel_arms",
            ),
            node(
                pixel_nodes.join_plans,
                [
                    "pixel_scores",
                    "pixel_study",
                    "study_data",
                    "chosen_arms",
                    "evaluation_data",
                    "embed_audit",
                    "params:finetune",
                    "finetune_journal",
                ],
                ["pixel_arms", "pixel_curves", "pixel_predictors", "joined_predictors"],
                name="join_plans",
            ),
        ],
        tags="finetune",
    )
