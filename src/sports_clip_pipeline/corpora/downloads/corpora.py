"""Both corpora into the raw folder, in the forms that ingest accepts."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from sports_clip_pipeline.corpora.downloads.assemble import assemble_flickr8k, is_there, measure
from sports_clip_pipeline.corpora.downloads.fetch import (
    fetch_archive,
    keep_record,
    read_record,
)
from sports_clip_pipeline.corpora.downloads.kaggle import (
    KaggleClient,
    by_hand,
    competition_url,
    fetch_competition,
)
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.journal import Journal
from sports_clip_pipeline.pipelines.download.config import DownloadConfig

_LOG = logging.getLogger(__name__)


def download_corpora(
    config: DownloadConfig, raw_dir: Path, journal: Journal, kaggle: KaggleClient | None = None
) -> dict[str, Any]:
    """Bring the corpora of `config` into `raw_dir`; what is there already stays as it is.

    Returns: `{"files": [{corpus, file, url, sha256, bytes, licence}, …]}`; `url` is None for what
        was placed by hand, and the sha256 of a folder is that of its listing.
    Raises: UserFacingError: the study is the drawn sample, or a corpus cannot be had; corpora
        brought before it stay.
    """
    if config.study == "sample":
        what = "this environment's study is the sample, whose corpora are drawn"
        raise UserFacingError(raw_dir, what, "add --env=real (`make data` does)")
    files: list[dict[str, Any]] = []
    for corpus in config.corpora:
        files += _BRINGERS[corpus](config, raw_dir, journal, kaggle)
    return {"files": files}


def _bring_flickr8k(
    config: DownloadConfig, raw_dir: Path, journal: Journal, kaggle: KaggleClient | None
) -> list[dict[str, Any]]:
    target, downloads = raw_dir / "flickr8k", raw_dir / "downloads"
    paths = [downloads / archive.name for archive in config.flickr8k_archives]
    there = is_there("flickr8k", raw_dir)
    if there is None:
        _LOG.info("Flickr8k, %s. %s", config.flickr8k_page, config.flickr8k_licence)
        records = [
            fetch_archive(archive, downloads, config, journal)
            for archive in config.flickr8k_archives
        ]
        images = assemble_flickr8k(paths, downloads / "flickr8k.partial", target, journal)
        _LOG.info("%s: %d images", target, images)
    else:
        _LOG.info("Flickr8k is there already: %s", there)
        records = [record for path in paths if (record := read_record(path)) is not None]
        if there != target or len(records) < len(paths):
            records = [_placed_by_hand(there)]
    if not config.keep_archives and is_there("flickr8k", raw_dir) == target:
        for path in paths:
            path.unlink(missing_ok=True)
    return [_row("flickr8k", record, config.flickr8k_licence) for record in records]


def _bring_sports(
    config: DownloadConfig, raw_dir: Path, journal: Journal, kaggle: KaggleClient | None
) -> list[dict[str, Any]]:
    target, url = raw_dir / "sports", competition_url(config.sports_competition)
    there, kept_at = is_there("sports", raw_dir), raw_dir / "downloads" / "sports"
    if there is None:
        _LOG.info("Sports, %s. %s", url, config.sports_licence)
        _LOG.info("To get it by hand instead: %s", by_hand(config.sports_competition, target))
        fetch_competition(
            config.sports_competition,
            raw_dir,
            target,
            attempts=config.attempts,
            backoff_s=config.backoff_s,
            client=kaggle,
        )
        record = {**_placed_by_hand(target), "url": url}
        keep_record(kept_at, record)
    else:
        _LOG.info("Sports is there already: %s", there)
        record, kept = _placed_by_hand(there), read_record(kept_at)
        if kept is not None and kept["sha256"] == record["sha256"]:
            record = kept
    return [_row("sports", record, config.sports_licence)]


def _placed_by_hand(path: Path) -> dict[str, Any]:
    digest, size = measure(path)
    name = path.name if path.is_file() else f"{path.name}/"
    return {"file": name, "url": None, "sha256": digest, "bytes": size}


def _row(corpus: str, record: dict[str, Any], licence: str) -> dict[str, Any]:
    return {"corpus": corpus, **record, "licence": " ".join(licence.split())}


_BRINGERS = {"flickr8k": _bring_flickr8k, "sports": _bring_sports}
