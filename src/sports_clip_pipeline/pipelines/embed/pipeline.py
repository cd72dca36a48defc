"""Wiring of `embed` and `tokenize`."""

from kedro.pipeline import Pipeline

from sports_clip_pipeline.pipelines.embed import nodes
from sports_clip_pipeline.pipelines.wiring import named_node


def create_pipeline() -> Pipeline:
    """Stores and captions to features."""
    return Pipeline([
        named_node(
            nodes.embed_corpora,
            ["flickr8k_features", "sports_features", "caption_features", "embed_audit"],
        ),
    ], tags="embed")  # fmt: skip


def create_tokenize_pipeline() -> Pipeline:
    """Captions of the manifest to tokens and their audit."""
    return Pipeline([
        named_node(nodes.tokenize_captions, "captions"),
        named_node(nodes.audit_captions, "tokenize_audit"),
    ], tags="tokenize")  # fmt: skip
