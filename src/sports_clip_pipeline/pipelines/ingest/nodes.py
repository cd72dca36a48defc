"""Nodes of the `ingest` pipeline: from two archives to stores, manifests and splits."""

from __future__ import annotations

from typing import Any

from sports_clip_pipeline.annotations import Document, Table
from sports_clip_pipeline.corpora.archive import Archive
from sports_clip_pipeline.data.classes import ClassBank
from sports_clip_pipeline.journal import Journal
from sports_clip_pipeline.pipelines.ingest.config import IngestConfig


def scan_flickr8k(source: Archive, config: IngestConfig, journal: Journal) -> Any:
    """Open every image of Flickr8k once. Returns: a `corpora.scan.Scan`."""
    from sports_clip_pipeline.corpora.flickr8k import list_flickr8k
    from sports_clip_pipeline.corpora.scan import scan_corpus

    archive = source.within(config.limits)
    return scan_corpus(archive, list_flickr8k(archive), config, journal)


def scan_sports(
    source: Archive, config: IngestConfig, class_bank: ClassBank, journal: Journal
) -> tuple[Any, Table]:
    """Open every image of the labelled corpus once. Returns: a `Scan`, and the test list."""
    import pandas as pd

    from sports_clip_pipeline.corpora.scan import scan_corpus
    from sports_clip_pipeline.corpora.sports import list_sports

    archive = source.within(config.limits)
    class_bank.require_two()
    listing = list_sports(archive, class_bank.labels, config.labelled)
    order = pd.DataFrame({"image": pd.Series(listing.test_order, dtype="str")})
    return scan_corpus(archive, listing, config, journal), order


def settle_duplicates(
    flickr8k_scan: Any, sports_scan: Any, config: IngestConfig
) -> tuple[Any, Table, Table, Table, Table]:
    """Judge duplicates over both corpora.

    Returns: a `corpora.manifest.Settled`, both manifests, the quarantine, the duplicates.
    """
    from sports_clip_pipeline.corpora.manifest import settle

    settled = settle(flickr8k_scan, sports_scan, config)
    manifests = settled.manifest("flickr8k"), settled.manifest("sports")
    return settled, *manifests, settled.quarantine, settled.duplicates


def close_stores(flickr8k_scan: Any, sports_scan: Any, settled: Any) -> tuple[Any, Any]:
    """Complete the two image stores with what is kept."""
    from sports_clip_pipeline.corpora.manifest import close_store

    scans = flickr8k_scan, sports_scan
    flickr8k, sports = (close_store(scan, settled.images) for scan in scans)
    return flickr8k, sports


def split_sports(manifest: Table, config: IngestConfig, class_bank: ClassBank) -> Table:
    """Split the labelled images into development and evaluation, and rank the former."""
    from sports_clip_pipeline.corpora.splits import make_splits

    return make_splits(manifest, class_bank.labels, config.test_share, config.seed)


def audit_ingest(
    settled: Any, splits: Table, flickr8k_scan: Any, sports_scan: Any, config: IngestConfig
) -> Document:
    """Count what came in, what was set aside, and what was found twice."""
    from sports_clip_pipeline.corpora.manifest import audit

    archives = {scan.corpus: scan.digest for scan in (flickr8k_scan, sports_scan)}
    return audit(settled, splits, archives, config)
