"""Wiring of `download`, which is not part of the default run."""

from __future__ import annotations

from kedro.pipeline import Pipeline, node

from sports_clip_pipeline.pipelines.download.nodes import download_corpora


def create_pipeline() -> Pipeline:
    """The published corpora into the raw folder, and a receipt."""
    return Pipeline(
        [
            node(
                download_corpora,
                inputs=["params:download", "raw_folder", "download_journal"],
                outputs="download_receipt",
                name="download_corpora",
            )
        ]
    )
