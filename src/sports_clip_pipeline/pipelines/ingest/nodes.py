"""Nodes of `download` and `ingest`."""

from pathlib import Path
from typing import Any

from sports_clip_pipeline.data.class_bank import ClassBank
from sports_clip_pipeline.io.state import RunState
from sports_clip_pipeline.pipelines.ingest.config import DownloadConfig, IngestConfig
from sports_clip_pipeline.pipelines.wiring import Document, Table


def scan_flickr8k(flickr8k_source: Any, config: IngestConfig, ingest_state: RunState) -> Any:
    """Open every image of Flickr8k, a `data.archives.Archive`. Returns: a `data.ingest.Scan`."""
    from sports_clip_pipeline.data.flickr8k import list_flickr8k
    from sports_clip_pipeline.data.ingest import scan_corpus

    archive = flickr8k_source.within(config.limits)
    return scan_corpus(archive, list_flickr8k(archive), config, ingest_state)


def scan_sports(
    sports_source: Any, config: IngestConfig, class_bank: ClassBank, ingest_state: RunState
) -> tuple[Any, Table]:
    """Open every image of the labelled corpus once. Returns: a `Scan`, and the test list."""
    import pandas as pd

    from sports_clip_pipeline.data.ingest import scan_corpus
    from sports_clip_pipeline.data.labelled import list_sports

    archive = sports_source.within(config.limits)
    class_bank.require_two()
    listing = list_sports(archive, class_bank.labels, config.labelled)
    tests = [entry.image for entry in listing.entries if entry.split == "test"]
    order = pd.DataFrame({"image": pd.Series(tests, dtype="str")})
    return scan_corpus(archive, listing, config, ingest_state), order


def resolve_duplicates(
    flickr8k_scan: Any, sports_scan: Any, config: IngestConfig
) -> tuple[Any, Table, Table, Table, Table]:
    """Resolve duplicates over both corpora: which images stay, are dropped or quarantined.

    Returns: all decoded images, both manifests, the quarantine, the duplicates.
    """
    from sports_clip_pipeline.data import ingest

    images, quarantine, duplicates = ingest.resolve_duplicates(flickr8k_scan, sports_scan, config)
    flickr8k, sports = (ingest.manifest_of(name, images) for name in ("flickr8k", "sports"))
    return images, flickr8k, sports, quarantine, duplicates


def close_stores(flickr8k_scan: Any, sports_scan: Any, resolved_images: Table) -> tuple[Any, Any]:
    """Complete both image stores with the images that remain."""
    from sports_clip_pipeline.data.ingest import close_store

    scans = flickr8k_scan, sports_scan
    flickr8k, sports = (close_store(scan, resolved_images) for scan in scans)
    return flickr8k, sports


def split_sports(sports_manifest: Table, config: IngestConfig, class_bank: ClassBank) -> Table:
    """Split the labelled images into development and test, with nested label subsets."""
    from sports_clip_pipeline.data.splits import make_splits

    return make_splits(sports_manifest, class_bank.labels, config.test_share, config.seed)


def audit_ingest(
    resolved_images: Table,
    quarantine: Table,
    duplicates: Table,
    splits: Table,
    flickr8k_scan: Any,
    sports_scan: Any,
    config: IngestConfig,
) -> Document:
    """Count what came in, what was rejected, and what was found twice."""
    from sports_clip_pipeline.data.ingest import audit

    archives = {scan.corpus: scan.digest for scan in (flickr8k_scan, sports_scan)}
    return audit((resolved_images, quarantine, duplicates), splits, archives, config)


def download_corpora(
    config: DownloadConfig, raw_folder: Path, download_state: RunState
) -> Document:
    """Download what is missing of the corpora; see `data.download`.

    Returns: the receipt: `files`, one entry each with corpus, file, url, sha256, bytes, licence.
    Raises: UserFacingError: a corpus cannot be had.
    """
    from sports_clip_pipeline.data import download

    return download.download_corpora(config, raw_folder, download_state)
