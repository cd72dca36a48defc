"""Wiring of `embed`."""

from __future__ import annotations

from kedro.pipeline import Pipeline

from sports_clip_pipeline.pipelines import named_node
from sports_clip_pipeline.pipelines.embed import nodes


def create_pipeline() -> Pipeline:
    """Stores and captions to features."""
    return Pipeline([
        named_node(
            nodes.embed_corpora,
            ["flickr8k_images", "flickr8k_manifest", "sports_images", "sports_manifest", "captions",
             "feature_cache", "params:embed", "embed_state"],
            ["flickr8k_features", "sports_features", "caption_features", "embed_audit"],
        ),
    ], tags="embed")  # fmt: skip
