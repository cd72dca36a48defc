"""Wiring of `embed`."""

from __future__ import annotations

from kedro.pipeline import Pipeline, node

from sports_clip_pipeline.pipelines.embed import nodes


def create_pipeline() -> Pipeline:
    """Stores and captions to features."""
    return Pipeline(
        [
            node(
                nodes.embed_corpora,
                [
                    "flickr8k_images",
                    "flickr8k_manifest",
                    "sports_images",
                    "sports_manifest",
                    "captions",
                    "feature_cache",
                    "params:embed",
                    "embed_state",
                ],
                ["flickr8k_features", "sports_features", "caption_features", "embed_audit"],
                name="embed_corpora",
            )
        ],
        tags="embed",
    )
