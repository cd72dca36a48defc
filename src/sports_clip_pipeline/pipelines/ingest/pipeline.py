"""Wiring of the `ingest` pipeline."""

from __future__ import annotations

from kedro.pipeline import Pipeline

from sports_clip_pipeline.pipelines.ingest import nodes
from sports_clip_pipeline.pipelines.ingest.nodes import download_corpora
from sports_clip_pipeline.pipelines.wiring import named_node


def create_pipeline() -> Pipeline:
    """From `flickr8k_source` and `sports_source` to image stores, manifests and splits."""
    return Pipeline([
        named_node(
            nodes.scan_flickr8k,
            ["flickr8k_source", "params:ingest", "ingest_state"],
            "flickr8k_scan",
        ),
        named_node(
            nodes.scan_sports,
            ["sports_source", "params:ingest", "params:class_bank", "ingest_state"],
            ["sports_scan", "submission_order"],
        ),
        named_node(
            nodes.resolve_duplicates,
            ["flickr8k_scan", "sports_scan", "params:ingest"],
            ["resolved_images", "flickr8k_manifest", "sports_manifest", "quarantine", "duplicates"],
        ),
        named_node(
            nodes.close_stores,
            ["flickr8k_scan", "sports_scan", "resolved_images"],
            ["flickr8k_images", "sports_images"],
        ),
        named_node(
            nodes.split_sports,
            ["sports_manifest", "params:ingest", "params:class_bank"],
            "splits",
        ),
        named_node(
            nodes.audit_ingest,
            ["resolved_images", "quarantine", "duplicates", "splits", "flickr8k_scan",
             "sports_scan", "params:ingest"],
            "ingest_audit",
        ),
    ])  # fmt: skip


def create_download_pipeline() -> Pipeline:
    """The published corpora into the raw folder, and a receipt."""
    return Pipeline([
        named_node(
            download_corpora,
            ["params:download", "raw_folder", "download_state"],
            "download_receipt",
        ),
    ])  # fmt: skip
