"""Wiring of the `ingest` pipeline."""

from kedro.pipeline import Pipeline

from sports_clip_pipeline.pipelines.ingest import nodes
from sports_clip_pipeline.pipelines.wiring import named_node


def create_pipeline() -> Pipeline:
    """From `flickr8k_source` and `sports_source` to image stores, manifests and splits."""
    return Pipeline([
        named_node(nodes.scan_flickr8k, "flickr8k_scan"),
        named_node(nodes.scan_sports, ["sports_scan", "submission_order"]),
        named_node(
            nodes.resolve_duplicates,
            ["resolved_images", "flickr8k_manifest", "sports_manifest", "quarantine",
             "duplicates"],
        ),
        named_node(nodes.close_stores, ["flickr8k_images", "sports_images"]),
        named_node(nodes.split_sports, "splits"),
        named_node(nodes.audit_ingest, "ingest_audit"),
    ])  # fmt: skip


def create_download_pipeline() -> Pipeline:
    """The published corpora into the raw folder, and a receipt."""
    return Pipeline([named_node(nodes.download_corpora, "download_receipt")])
