"""Wiring of `pretrain`."""

from __future__ import annotations

from kedro.pipeline import Pipeline, node

from sports_clip_pipeline.pipelines.pretrain import nodes


def create_pipeline() -> Pipeline:
    """Features of the caption corpus to a CLIP model."""
    return Pipeline(
        [
            node(
                nodes.pretrain_clip,
                [
                    "flickr8k_features",
                    "caption_features",
                    "flickr8k_manifest",
                    "captions",
                    "embed_audit",
                    "params:pretrain",
                    "params:tokenize",
                    "pretrain_journal",
                ],
                ["clip_model", "pretrain_history"],
                name="pretrain_clip",
            )
        ],
        tags="pretrain",
    )
