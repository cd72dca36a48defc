"""One archive from the first mirror that delivers it whole: retries, checks, a record."""

from __future__ import annotations

import json
import logging
import os
import time
import zipfile
import zlib
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from pooch import file_hash

from sports_clip_pipeline.corpora.downloads.transfer import (
    BrokenTransferError,
    RefusedTransferError,
    ResumingDownloader,
    forget,
)
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.journal import Journal
from sports_clip_pipeline.journal.disk import write_atomically
from sports_clip_pipeline.journal.journal import Counter
from sports_clip_pipeline.pipelines.download.config import DownloadConfig, RemoteArchive

_LOG = logging.getLogger(__name__)
_PROGRESS_BYTES = 1024 * 1024
_LONGEST_PAUSE_S = 30.0
_MEGABYTE = 1_000_000


class WrongBytesError(Exception):
    """A mirror delivered something whole that is not the file."""


def fetch_archive(
    archive: RemoteArchive, folder: Path, config: DownloadConfig, journal: Journal
) -> dict[str, Any]:
    """Bring `archive` into `folder` and return its record.

    What has come of it stays in `NAME.partial` and is continued, now or by a later run. It gets
    its name only when it is whole: the checksum is right, or, where none is known, every member
    of the zip is. A file that is there already is checked and never downloaded again.

    Returns: `file`, `url` (None if placed by hand), `sha256`, `bytes`.
    Raises: UserFacingError: no mirror delivers it, it cannot be written, or the file that is there
        has changed.
    """
    final = folder / archive.name
    if final.exists():
        return _finished(final, archive)
    folder.mkdir(parents=True, exist_ok=True)
    partial = final.with_name(f"{final.name}.partial")
    failures = []
    for url in archive.mirrors:
        try:
            _fetch_from(url, partial, archive, config, journal)
        except (BrokenTransferError, RefusedTransferError, WrongBytesError) as error:
            _LOG.warning("%s: %s", archive.name, error)
            failures.append(str(error))
        except OSError as error:
            remedy = "make room or mend its rights and run again: what has come is continued"
            raise UserFacingError(partial, f"cannot be written ({error})", remedy) from error
        else:
            return _finish(partial, final, archive, url)
    raise UserFacingError(
        final,
        f"no mirror delivered it: {'; '.join(failures)}",
        f"run the same command again (what has come is kept and continued), or get {archive.name} "
        f"by hand from {config.flickr8k_page} and put it there",
    )


def find_fault(path: Path, checksum: str | None) -> str | None:
    """What is wrong with a downloaded archive, or None.

    Args:
        path: the archive.
        checksum: `md5:…` or `sha256:…`; without it, all members of the zip are read and their
            CRCs compared.
    """
    if checksum is None:
        return _zip_fault(path)
    algorithm, _, wanted = checksum.partition(":")
    got = file_hash(str(path), alg=algorithm)
    return None if got == wanted else f"has {algorithm} {got}, wanted {wanted}"


def read_record(archive_path: Path) -> dict[str, Any] | None:
    """The record kept beside an archive, or None."""
    try:
        record = json.loads(_record_path(archive_path).read_text())
    except (FileNotFoundError, ValueError):
        return None
    return record if isinstance(record, dict) and "sha256" in record else None


def keep_record(archive_path: Path, record: dict[str, Any]) -> None:
    """Keep a record beside an archive or a folder."""
    write_atomically(_record_path(archive_path), json.dumps(record, indent=2).encode())


def _fetch_from(
    url: str, partial: Path, archive: RemoteArchive, config: DownloadConfig, journal: Journal
) -> None:
    """Try one mirror until the file is whole; give up after `attempts` tries without progress."""
    with _Bar(journal, archive.name) as bar:
        downloader = ResumingDownloader(config.timeout_s, archive.checksum is not None, bar.show)
        failed, furthest = 0, _size(partial)
        while True:
            try:
                return _try_once(downloader, url, partial, archive)
            except BrokenTransferError as error:
                gained = _size(partial) - furthest
                failed = 0 if gained >= _PROGRESS_BYTES else failed + 1
                furthest = max(furthest, _size(partial))
                if failed >= config.attempts:
                    if archive.checksum and furthest and not _fault(partial, archive):
                        return None
                    raise
                _LOG.info("%s; trying again", error)
                time.sleep(min(config.backoff_s * 2 ** max(failed - 1, 0), _LONGEST_PAUSE_S))


def _try_once(
    downloader: ResumingDownloader, url: str, partial: Path, archive: RemoteArchive
) -> None:
    continued = downloader(url, partial)
    fault = find_fault(partial, archive.checksum)
    if fault is None:
        return
    forget(partial)
    if continued:
        raise BrokenTransferError(f"what was continued from {url} {fault}")
    raise WrongBytesError(f"the file from {url} {fault}")


def _finish(partial: Path, final: Path, archive: RemoteArchive, url: str) -> dict[str, Any]:
    with partial.open("r+b") as file:
        os.fsync(file.fileno())
    record = _write_record(partial, final, url)
    partial.replace(final)
    forget(partial)
    trust = "checked" if archive.checksum else "trusted on first use, no checksum is published"
    _LOG.info("%s: %s bytes, sha256 %s (%s)", final, record["bytes"], record["sha256"], trust)
    return record


def _finished(final: Path, archive: RemoteArchive) -> dict[str, Any]:
    """The record of a file that is there, after a check against what is known of it."""
    record = read_record(final)
    recorded = f"sha256:{record['sha256']}" if record else None
    fault = find_fault(final, archive.checksum or recorded)
    if fault is not None:
        remedy = "delete or move it and run the same command again: it is downloaded anew"
        raise UserFacingError(final, fault, remedy)
    _LOG.info("%s is there already and whole", final)
    return record or _write_record(final, final, None)


def _write_record(content: Path, final: Path, url: str | None) -> dict[str, Any]:
    digest, size = file_hash(str(content)), content.stat().st_size
    record = {"file": final.name, "url": url, "sha256": digest, "bytes": size}
    keep_record(final, record)
    return record


def _record_path(archive_path: Path) -> Path:
    return archive_path.with_name(f"{archive_path.name}.record.json")


def _zip_fault(path: Path) -> str | None:
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        return f"is not a whole zip archive ({error})"
    return None if damaged is None else f"is a zip archive with a damaged member, {damaged!r}"


def _fault(partial: Path, archive: RemoteArchive) -> str | None:
    return find_fault(partial, archive.checksum) if partial.exists() else "is not there"


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


class _Bar:
    """A progress bar in megabytes that opens when the length is known."""

    def __init__(self, journal: Journal, name: str) -> None:
        self._journal, self._name = journal, name
        self._stack, self._shown = ExitStack(), 0
        self._bar: Counter | None = None

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def show(self, done: int, total: int | None) -> None:
        """Move the bar to `done` of `total` bytes."""
        if self._bar is None:
            counting = self._journal.counting(self._name, (total or 0) // _MEGABYTE, unit="MB")
            self._bar = self._stack.enter_context(counting)
        megabytes = done // _MEGABYTE
        if megabytes != self._shown:
            self._bar.update(megabytes - self._shown)
            self._shown = megabytes
