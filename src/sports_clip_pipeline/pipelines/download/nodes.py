"""The node that brings the published corpora into the raw folder."""

from __future__ import annotations

from pathlib import Path

from sports_clip_pipeline.annotations import Document
from sports_clip_pipeline.journal import Journal
from sports_clip_pipeline.pipelines.download.config import DownloadConfig


def bring_corpora(config: DownloadConfig, raw_folder: Path, journal: Journal) -> Document:
    """Download what is missing of the corpora; see `corpora.downloads.corpora`.

    Returns: the receipt: `files`, one entry each with corpus, file, url, sha256, bytes, licence.
    Raises: UserFacingError: a corpus cannot be had.
    """
    from sports_clip_pipeline.corpora.downloads.corpora import download_corpora

    return download_corpora(config, raw_folder, journal)
