"""Wiring of `tokenize`."""

from __future__ import annotations

from kedro.pipeline import Pipeline

from sports_clip_pipeline.pipelines.tokenize import nodes
from sports_clip_pipeline.pipelines.wiring import named_node


def create_pipeline() -> Pipeline:
    """Captions of the manifest to tokens and their audit."""
    return Pipeline([
        named_node(nodes.tokenize_captions, ["flickr8k_manifest", "params:tokenize"], "captions"),
        named_node(nodes.audit_captions, ["captions", "params:class_bank"], "tokenize_audit"),
    ], tags="tokenize")  # fmt: skip
