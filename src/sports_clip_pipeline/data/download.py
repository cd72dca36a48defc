"""Downloads the published corpora from mirrors, checked by checksum, into the raw folder.

pooch transfers each archive, retries and checks it; an archive gets its name only when it is whole.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import zipfile
import zlib
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pooch
import requests

from sports_clip_pipeline.data.archives import Archive, move_into_place
from sports_clip_pipeline.data.kaggle import (
    KaggleClient,
    competition_url,
    fetch_competition,
    manual_steps,
)
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.io.state import ProgressBar, RunState, write_atomically
from sports_clip_pipeline.pipelines.ingest.config import DownloadConfig, RemoteArchive

_LOG = logging.getLogger(__name__)
_CHUNK_BYTES = 64 * 1024
_MEGABYTE = 1_000_000
_IMAGE_FOLDERS = ("Flicker8k_Dataset", "Images")
_CAPTION_FILES = ("Flickr8k.token.txt", "captions.txt")
_PUBLISHED_FILE = re.compile(
    rf"(?:(?:{'|'.join(_IMAGE_FOLDERS)})/[A-Za-z0-9_-][A-Za-z0-9_.-]*\.jpe?g)"
    r"|(?:[A-Za-z0-9_-][A-Za-z0-9_.-]*\.txt)"
)
_TRANSIENT = {408, 425, 429, 500, 502, 503, 504}
_MEANING = {
    401: "wants a login",
    403: "refuses access",
    404: "has no such file",
    410: "has removed the file",
}
_FAILURES: dict[type[Exception], str] = {
    requests.Timeout: "stayed silent for too long",
    requests.exceptions.SSLError: "failed the check of its certificate",
    requests.exceptions.ChunkedEncodingError: "broke off in the middle",
    requests.TooManyRedirects: "redirects without end",
    requests.RequestException: "cannot be reached (no network, or the server is down)",
}


def download_corpora(
    config: DownloadConfig, raw_dir: Path, journal: RunState, kaggle: KaggleClient | None = None
) -> dict[str, Any]:
    """Download the corpora of `config` into `raw_dir`; what is there already stays as it is.

    Returns: `{"files": [{corpus, file, url, sha256, bytes, licence}, …]}`; `url` is None for what
        was placed by hand, and the sha256 of a folder is that of its listing.
    Raises: UserFacingError: the study is the drawn sample, or a corpus cannot be had; corpora
        downloaded before it stay.
    """
    if config.study == "sample":
        what = "this environment's study is the sample, whose corpora are drawn"
        raise UserFacingError(raw_dir, what, "add --env=real (`make data` does)")
    files: list[dict[str, Any]] = []
    for corpus in config.corpora:
        if corpus == "flickr8k":
            records, licence = _download_flickr8k(config, raw_dir, journal), config.flickr8k_licence
        else:
            records, licence = [_download_sports(config, raw_dir, kaggle)], config.sports_licence
        licence = " ".join(licence.split())
        files += [{"corpus": corpus, **record, "licence": licence} for record in records]
    return {"files": files}


def _download_flickr8k(
    config: DownloadConfig, raw_dir: Path, journal: RunState
) -> list[dict[str, Any]]:
    target, downloads = raw_dir / "flickr8k", raw_dir / "downloads"
    paths = [downloads / archive.name for archive in config.flickr8k_archives]
    present = find_corpus("flickr8k", raw_dir)
    if present is None:
        _LOG.info("Flickr8k, %s. %s", config.flickr8k_page, config.flickr8k_licence)
        records = [
            fetch_archive(archive, downloads, config, journal)
            for archive in config.flickr8k_archives
        ]
        images = assemble_flickr8k(paths, downloads / "flickr8k.partial", target, journal)
        _LOG.info("%s: %d images", target, images)
    else:
        _LOG.info("Flickr8k is there already: %s", present)
        records = [record for path in paths if (record := read_record(path)) is not None]
        if present != target or len(records) < len(paths):
            records = [_manual_record(present)]
    if not config.keep_archives and find_corpus("flickr8k", raw_dir) == target:
        for path in paths:
            path.unlink(missing_ok=True)
    return records


def _download_sports(
    config: DownloadConfig, raw_dir: Path, kaggle: KaggleClient | None
) -> dict[str, Any]:
    target, url = raw_dir / "sports", competition_url(config.sports_competition)
    present, recorded_at = find_corpus("sports", raw_dir), raw_dir / "downloads" / "sports"
    if present is None:
        _LOG.info("Sports, %s. %s", url, config.sports_licence)
        _LOG.info("To get it by hand instead: %s", manual_steps(config.sports_competition, target))
        fetch_competition(
            config.sports_competition,
            raw_dir,
            target,
            attempts=config.attempts,
            backoff_s=config.backoff_s,
            client=kaggle,
        )
        record = {**_manual_record(target), "url": url}
        _write_record(recorded_at, record)
        return record
    _LOG.info("Sports is there already: %s", present)
    record, recorded = _manual_record(present), read_record(recorded_at)
    is_same = recorded is not None and recorded["sha256"] == record["sha256"]
    return recorded if recorded is not None and is_same else record


class RefusedTransferError(Exception):
    """A permanent HTTP error, which is not retried."""


class _Downloader(pooch.HTTPDownloader):
    """pooch's HTTP downloader; permanent errors are not retried, unchecked zips are tested."""

    def __init__(self, timeout_s: float, has_checksum: bool, progress: _Progress) -> None:
        headers = {"Accept-Encoding": "identity"}
        super().__init__(progress, _CHUNK_BYTES, timeout=timeout_s, headers=headers)
        self._has_checksum = has_checksum

    def __call__(self, url: str, output_file: Any, pooch: Any, check_only: bool = False) -> Any:
        try:
            super().__call__(url, output_file, pooch, check_only)
        except requests.HTTPError as error:
            status = error.response.status_code
            if status in _TRANSIENT:
                raise
            raise RefusedTransferError(_answer(status, error.response.reason)) from error
        fault = None if self._has_checksum else find_fault(Path(output_file), None)
        if fault is not None:
            raise ValueError(fault)


class _Progress:
    """A pooch progress bar in megabytes, shown by the journal."""

    def __init__(self, journal: RunState, name: str) -> None:
        self._journal, self._name, self._stack = journal, name, ExitStack()
        self._bar: ProgressBar | None = None
        self._total = self._done = self._shown = 0

    @property
    def total(self) -> int:
        """Length of the file in bytes; a new transfer sets it and starts a new bar."""
        return self._total

    @total.setter
    def total(self, value: int) -> None:
        self.close()
        self._total, self._done, self._shown = value, 0, 0
        counting = self._journal.progress_bar(self._name, value // _MEGABYTE, unit="MB")
        self._bar = self._stack.enter_context(counting)

    def update(self, n: int) -> None:
        """Advance by `n` bytes."""
        self._done += n
        megabytes = min(self._done, self._total) // _MEGABYTE
        if self._bar is not None and megabytes > self._shown:
            self._bar.update(megabytes - self._shown)
            self._shown = megabytes

    def reset(self) -> None:
        """Count from zero; the bar stays."""
        self._done = 0

    def close(self) -> None:
        """End the bar."""
        self._stack.close()


def fetch_archive(
    archive: RemoteArchive, folder: Path, config: DownloadConfig, journal: RunState
) -> dict[str, Any]:
    """Download `archive` into `folder` from the first mirror that serves the right bytes.

    It gets its name only when it is whole: the checksum is right, or, where none is known, every
    member of the zip is. A file that is there already is checked and never downloaded again.

    Returns: `file`, `url` (None if placed by hand), `sha256`, `bytes`.
    Raises: UserFacingError: no mirror delivers it, it cannot be written, or the file that is there
        has changed.
    """
    final, scratch = folder / archive.name, folder / f"{archive.name}.partial"
    if final.exists():
        return _check_present(final, archive)
    pooch.get_logger().setLevel(logging.WARNING)
    failures = []
    for url in archive.mirrors:
        try:
            content = _fetch_from(url, scratch, archive, config, journal)
            record = _record(content, final, url)
            content.replace(final)
            trust = "checked" if archive.checksum else "trusted on first use, no known checksum"
            _LOG.info(
                "%s: %s bytes, sha256 %s (%s)", final, record["bytes"], record["sha256"], trust
            )
            return record
        except (requests.RequestException, RefusedTransferError, ValueError) as error:
            failures.append(f"{url} {_reason(error)}")
            _LOG.warning("%s: %s", archive.name, failures[-1])
        except OSError as error:
            remedy = "make room or mend its rights and run again"
            raise UserFacingError(scratch, f"cannot be written ({error})", remedy) from error
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    raise UserFacingError(
        final,
        f"no mirror delivered it: {'; '.join(failures)}",
        f"run the same command again, or get {archive.name} by hand from {config.flickr8k_page} "
        "and put it there",
    )


def _fetch_from(
    url: str, scratch: Path, archive: RemoteArchive, config: DownloadConfig, journal: RunState
) -> Path:
    """The archive from one mirror, inside the folder `scratch`."""
    shutil.rmtree(scratch, ignore_errors=True)  # left by a run that was killed
    scratch.mkdir(parents=True)
    registry, urls = {archive.name: archive.checksum}, {archive.name: url}
    mirror = pooch.create(
        scratch, base_url="", registry=registry, urls=urls, retry_if_failed=config.attempts - 1
    )
    progress = _Progress(journal, archive.name)
    try:
        downloader = _Downloader(config.timeout_s, archive.checksum is not None, progress)
        path = Path(mirror.fetch(archive.name, downloader=downloader))
    finally:
        progress.close()
    with path.open("r+b") as file:
        os.fsync(file.fileno())
    return path


def find_fault(path: Path, checksum: str | None) -> str | None:
    """What is wrong with a downloaded archive, or None.

    Args:
        path: the archive.
        checksum: `md5:…` or `sha256:…`; without it, all members of the zip are read and their
            CRCs compared.
    """
    if checksum is not None:
        algorithm, _, wanted = checksum.partition(":")
        got = pooch.file_hash(str(path), alg=algorithm)
        return None if got == wanted else f"has {algorithm} {got}, wanted {wanted}"
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        return f"is not a whole zip archive ({error})"
    return None if damaged is None else f"is a zip archive with a damaged member, {damaged!r}"


def read_record(path: Path) -> dict[str, Any] | None:
    """The record beside an archive or a folder, or None."""
    try:
        record = json.loads(_record_path(path).read_text())
    except (FileNotFoundError, ValueError):
        return None
    return record if isinstance(record, dict) and "sha256" in record else None


def _check_present(final: Path, archive: RemoteArchive) -> dict[str, Any]:
    """The record of a file that is there, after a check against what is known of it."""
    record = read_record(final)
    recorded = f"sha256:{record['sha256']}" if record else None
    fault = find_fault(final, archive.checksum or recorded)
    if fault is not None:
        remedy = "delete or move it and run the same command again: it is downloaded anew"
        raise UserFacingError(final, fault, remedy)
    _LOG.info("%s is there already and whole", final)
    return record or _record(final, final, None)


def _record(content: Path, final: Path, url: str | None) -> dict[str, Any]:
    """Write the record of `final`, whose bytes are in `content` as yet."""
    digest, size = pooch.file_hash(str(content)), content.stat().st_size
    record = {"file": final.name, "url": url, "sha256": digest, "bytes": size}
    _write_record(final, record)
    return record


def _write_record(path: Path, record: dict[str, Any]) -> None:
    write_atomically(_record_path(path), json.dumps(record, indent=2).encode())


def _record_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.record.json")


def _answer(status: int, reason: str | None) -> str:
    return f"answered {status} ({_MEANING.get(status, reason or 'not what was asked for')})"


def _reason(error: Exception) -> str:
    """Why a transfer failed, in one line."""
    if isinstance(error, requests.HTTPError):
        return _answer(error.response.status_code, error.response.reason)
    if "timed out" in str(error):
        return _FAILURES[requests.Timeout]
    words = (text for kind, text in _FAILURES.items() if isinstance(error, kind))
    return next(words, " ".join(str(error).split()))


def assemble_flickr8k(
    archives: Sequence[Path], scratch: Path, target: Path, journal: RunState
) -> int:
    """Unpack the published archives of Flickr8k into one folder, whole or not at all.

    Only what the published form names is written: `Flicker8k_Dataset/*.jpg` or `Images/*.jpg`,
    and text files at the top. The folder is filled at `scratch` and renamed to `target`, on the
    same disk.

    Returns: the number of images.
    Raises: UserFacingError: an archive that cannot be read or is refused (`data.archives`), no
        image, or no caption file.
    """
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    for path in archives:
        archive = Archive(path)
        names = [name for name in archive.names() if _PUBLISHED_FILE.fullmatch(name)]
        for name in journal.progress(names, f"unpacking {path.name}", len(names), "file"):
            destination = scratch / name
            destination.parent.mkdir(exist_ok=True)
            destination.write_bytes(archive.read(name))
        archive.close()
    images = sum(1 for _ in scratch.glob("*/*.jp*g"))
    has_captions = any((scratch / name).is_file() for name in _CAPTION_FILES)
    if not (images and has_captions):
        raise UserFacingError(
            " + ".join(str(path) for path in archives),
            f"{images} images and {'a' if has_captions else 'no'} caption file came out of them",
            f"download.flickr8k_archives must together hold {' or '.join(_IMAGE_FOLDERS)}/*.jpg "
            f"and {' or '.join(_CAPTION_FILES)}",
        )
    move_into_place(scratch, target)
    return images


def find_corpus(corpus: str, raw_dir: Path) -> Path | None:
    """The zip or the non-empty folder of `corpus` in `raw_dir` (the zip wins), or None."""
    archive, folder = raw_dir / f"{corpus}.zip", raw_dir / corpus
    if archive.is_file():
        return archive
    return folder if folder.is_dir() and any(folder.iterdir()) else None


def measure(path: Path) -> tuple[str, int]:
    """The digest of a zip or a folder, as `Archive.digest` defines it, and its bytes on disk."""
    archive = Archive(path)
    digest = archive.digest()
    archive.close()
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return digest, sum(file.stat().st_size for file in files)


def _manual_record(path: Path) -> dict[str, Any]:
    digest, size = measure(path)
    name = path.name if path.is_file() else f"{path.name}/"
    return {"file": name, "url": None, "sha256": digest, "bytes": size}
