"""Wiring of the `ingest` pipeline."""

from __future__ import annotations

from kedro.pipeline import Pipeline, node

from sports_clip_pipeline.pipelines.ingest import nodes
from sports_clip_pipeline.pipelines.ingest.nodes import download_corpora


def create_pipeline() -> Pipeline:
    """From `flickr8k_source` and `sports_source` to image stores, manifests and splits."""
    return Pipeline(
        [
            node(
                nodes.scan_flickr8k,
                inputs=["flickr8k_source", "params:ingest", "ingest_state"],
                outputs="flickr8k_scan",
                name="scan_flickr8k",
            ),
            node(
                nodes.scan_sports,
                inputs=["sports_source", "params:ingest", "params:class_bank", "ingest_state"],
                outputs=["sports_scan", "submission_order"],
                name="scan_sports",
            ),
            node(
                nodes.resolve_duplicates,
                inputs=["flickr8k_scan", "sports_scan", "params:ingest"],
                outputs=[
                    "resolved_corpora",
                    "flickr8k_manifest",
                    "sports_manifest",
                    "quarantine",
                    "duplicates",
                ],
                name="resolve_duplicates",
            ),
            node(
                nodes.close_stores,
                inputs=["flickr8k_scan", "sports_scan", "resolved_corpora"],
                outputs=["flickr8k_images", "sports_images"],
                name="close_stores",
            ),
            node(
                nodes.split_sports,
                inputs=["sports_manifest", "params:ingest", "params:class_bank"],
                outputs="splits",
                name="split_sports",
            ),
            node(
                nodes.audit_ingest,
                inputs=[
                    "resolved_corpora",
                    "splits",
                    "flickr8k_scan",
                    "sports_scan",
                    "params:ingest",
                ],
                outputs="ingest_audit",
                name="audit_ingest",
            ),
        ]
    )


def create_download_pipeline() -> Pipeline:
    """The published corpora into the raw folder, and a receipt."""
    return Pipeline(
        [
            node(
                download_corpora,
                inputs=["params:download", "raw_folder", "download_state"],
                outputs="download_receipt",
                name="download_corpora",
            )
        ]
    )
