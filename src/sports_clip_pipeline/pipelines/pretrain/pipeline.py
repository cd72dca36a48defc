"""Wiring of `pretrain`."""

from kedro.pipeline import Pipeline

from sports_clip_pipeline.pipelines.pretrain import nodes
from sports_clip_pipeline.pipelines.wiring import named_node


def create_pipeline() -> Pipeline:
    """Features and images of the caption corpus to a CLIP model and its encoders' features."""
    return Pipeline([
        named_node(nodes.pretrain_clip, ["clip_model", "pretrain_history"]),
        named_node(
            nodes.embed_with_clip,
            ["clip_flickr8k_features", "clip_sports_features", "clip_caption_features"],
        ),
    ], tags="pretrain")  # fmt: skip
