"""Download of the published corpora: Flickr8k from mirrors by pooch, Sports by kagglehub.

Archives are checked by checksum; a file or folder gets its name only when it is complete.
"""

import json
import logging
import os
import re
import shutil
import sys
import tarfile
import time
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pooch
import requests

from sports_clip_pipeline.data.archives import Archive, find_archive
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.io.state import RunState, disk_error, write_atomically
from sports_clip_pipeline.pipelines.ingest.config import DownloadConfig, RemoteArchive

_LOG = logging.getLogger(__name__)
_IMAGE_FOLDERS = ("Flicker8k_Dataset", "Images")
_CAPTION_FILES = ("Flickr8k.token.txt", "captions.txt")
_FLICKR8K_FILE = re.compile(
    rf"(?:(?:{'|'.join(_IMAGE_FOLDERS)})/[A-Za-z0-9_-][A-Za-z0-9_.-]*\.jpe?g)"
    r"|(?:[A-Za-z0-9_-][A-Za-z0-9_.-]*\.txt)"
)
_FAILURES: dict[type[Exception], str] = {
    requests.Timeout: "timed out",
    requests.exceptions.SSLError: "has an invalid certificate",
    requests.exceptions.ChunkedEncodingError: "closed the connection early",
    requests.TooManyRedirects: "redirects without end",
    requests.RequestException: "cannot be reached (no network, or the server is down)",
}
SPORTS_FILES = ("train", "train_labels.csv", "test", "test_images_list.csv")
_KAGGLE = "https://www.kaggle.com"


def download_corpora(config: DownloadConfig, raw_dir: Path, state: RunState) -> dict[str, Any]:
    """Download the corpora of `config` into `raw_dir`; existing ones are left unchanged.

    Returns: `{"files": [{corpus, file, url, sha256, bytes, licence}, …]}`; `url` is None for
        manually placed files, and the sha256 of a folder is `Archive.digest`.
    Raises: UserFacingError: the study is the sample, or a corpus cannot be downloaded; those
        downloaded before it stay.
    """
    if config.study == "sample":
        what = "this environment's study is the sample, whose corpora are drawn"
        raise UserFacingError(raw_dir, what, "add --env=real (`make data` does)")
    files: list[dict[str, Any]] = []
    for corpus in config.corpora:
        if corpus == "flickr8k":
            records, licence = _download_flickr8k(config, raw_dir, state), config.flickr8k_licence
        else:
            records, licence = [_download_sports(config, raw_dir)], config.sports_licence
        licence = " ".join(licence.split())
        files += [{"corpus": corpus, **record, "licence": licence} for record in records]
    return {"files": files}


def _download_flickr8k(
    config: DownloadConfig, raw_dir: Path, state: RunState
) -> list[dict[str, Any]]:
    target, downloads = raw_dir / "flickr8k", raw_dir / "downloads"
    archives = config.flickr8k_archives
    paths = [downloads / archive.name for archive in archives]
    present = find_archive(target)
    if present is None:
        _LOG.info("Flickr8k, %s. %s", config.flickr8k_page, config.flickr8k_licence)
        records = [fetch_archive(archive, downloads, config) for archive in archives]
        images = assemble_flickr8k(paths, downloads / "flickr8k.partial", target, state)
        _LOG.info("%s: %d images", target, images)
    else:
        _LOG.info("Flickr8k is there already: %s", present)
        records = [record for path in paths if (record := _read_record(path)) is not None]
        if present != target or len(records) < len(paths):
            records = [describe_corpus(present)]
    if not config.keep_archives and find_archive(target) == target:
        for path in paths:
            path.unlink(missing_ok=True)
    return records


def _download_sports(config: DownloadConfig, raw_dir: Path) -> dict[str, Any]:
    target, page = raw_dir / "sports", _competition_page(config)
    present, recorded = find_archive(target), raw_dir / "downloads" / "sports"
    if present is None:
        _LOG.info("Sports, %s. %s", page, config.sports_licence)
        _LOG.info("To get it manually: %s", _manual_steps(page, target))
        download_competition(config, raw_dir / "downloads" / "kagglehub", target)
        return _write_record(recorded, {**describe_corpus(target), "url": page})
    _LOG.info("Sports is there already: %s", present)
    record, earlier = describe_corpus(present), _read_record(recorded)
    return earlier if earlier and earlier["sha256"] == record["sha256"] else record


def fetch_archive(archive: RemoteArchive, folder: Path, config: DownloadConfig) -> dict[str, Any]:
    """Download `archive` into `folder` from the first mirror that serves the right bytes.

    Its checksum is verified or, if none is known, the CRCs of the zip's members. An existing file
    is checked and never downloaded again.

    Returns: `file`, `url` (None if placed manually), `sha256`, `bytes`.
    Raises: UserFacingError: no mirror delivers it, it cannot be written, or the existing file has
        changed.
    """
    final, scratch = folder / archive.name, folder / f"{archive.name}.partial"
    if final.exists():
        return _check_existing(final, archive)
    pooch.get_logger().setLevel(logging.WARNING)
    failures = []
    for url in archive.mirrors:
        try:
            content = _fetch_from(url, scratch, archive, config)
            record = _write_record(final, {**describe_corpus(content), "url": url})
            content.replace(final)
            trust = "checked" if archive.checksum else "trusted on first use, no known checksum"
            _LOG.info("%s: sha256 %s (%s)", final, record["sha256"], trust)
            return record
        except (requests.RequestException, ValueError) as error:
            failures.append(f"{url} {_reason(error)}")
            _LOG.warning("%s: %s", archive.name, failures[-1])
        except OSError as error:
            raise disk_error(error, scratch) from error
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    manually = f"get {archive.name} manually from {config.flickr8k_page} and put it there"
    what = f"no mirror delivered it: {'; '.join(failures)}"
    raise UserFacingError(final, what, f"run the same command again, or {manually}")


def _fetch_from(url: str, scratch: Path, archive: RemoteArchive, config: DownloadConfig) -> Path:
    """Download from one mirror, with retries. Returns: the archive in the folder `scratch`."""
    shutil.rmtree(scratch, ignore_errors=True)  # of a killed run
    scratch.mkdir(parents=True)
    mirror = pooch.create(
        scratch,
        base_url="",
        registry={archive.name: archive.checksum},
        urls={archive.name: url},
        retry_if_failed=config.attempts - 1,
    )
    downloader = pooch.HTTPDownloader(
        progressbar=sys.stderr.isatty(),
        chunk_size=64 * 1024,
        timeout=config.timeout_s,
        headers={"Accept-Encoding": "identity"},
    )
    path = Path(mirror.fetch(archive.name, downloader=downloader))
    if archive.checksum is None and (fault := find_fault(path, None)):
        raise ValueError(fault)
    with path.open("r+b") as file:
        os.fsync(file.fileno())
    return path


def find_fault(path: Path, checksum: str | None) -> str | None:
    """What is wrong with a downloaded archive, or None.

    Args:
        checksum: `md5:…` or `sha256:…`; without it, the CRCs of the zip's members are verified.
    """
    if checksum is not None:
        algorithm, _, expected = checksum.partition(":")
        actual = pooch.file_hash(str(path), alg=algorithm)
        return None if actual == expected else f"has {algorithm} {actual}, wanted {expected}"
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        return f"is not a complete zip archive ({error})"
    return None if damaged is None else f"is a zip archive with a damaged member, {damaged!r}"


def _check_existing(final: Path, archive: RemoteArchive) -> dict[str, Any]:
    """Record of an existing file, verified by its known or recorded checksum."""
    record = _read_record(final)
    recorded = f"sha256:{record['sha256']}" if record else None
    if fault := find_fault(final, archive.checksum or recorded):
        remedy = "delete or move it and run the same command again to download it"
        raise UserFacingError(final, fault, remedy)
    _LOG.info("%s is there already and complete", final)
    return record or _write_record(final, describe_corpus(final))


def describe_corpus(path: Path) -> dict[str, Any]:
    """Record of a zip or a folder: `file`, `url` (None), `sha256` of `Archive.digest`, `bytes`."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    name = path.name if path.is_file() else f"{path.name}/"
    size = sum(file.stat().st_size for file in files)
    return {"file": name, "url": None, "sha256": Archive(path).digest(), "bytes": size}


def _record_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.record.json")


def _read_record(path: Path) -> dict[str, Any] | None:
    """The record beside an archive or a folder, or None."""
    try:
        record = json.loads(_record_path(path).read_text())
    except (FileNotFoundError, ValueError):
        return None
    return record if isinstance(record, dict) and "sha256" in record else None


def _write_record(path: Path, record: dict[str, Any]) -> dict[str, Any]:
    write_atomically(_record_path(path), json.dumps(record, indent=2).encode())
    return record


def _reason(error: Exception) -> str:
    """Why a transfer failed, in one line."""
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"answered {error.response.status_code} ({error.response.reason})"
    if "timed out" in str(error):
        return _FAILURES[requests.Timeout]
    reasons = (text for kind, text in _FAILURES.items() if isinstance(error, kind))
    return next(reasons, " ".join(str(error).split()))


def assemble_flickr8k(
    archives: Sequence[Path], scratch: Path, target: Path, state: RunState
) -> int:
    """Unpack the archives of Flickr8k into one folder, atomically.

    Only files of the published format are written: `Flicker8k_Dataset/*.jpg` or `Images/*.jpg`,
    and text files at the top.

    Args:
        scratch: temporary folder, renamed to `target` on the same disk.
    Returns: the number of images.
    Raises: UserFacingError: an archive is refused (`data.archives`), or images or captions are
        missing.
    """
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    for path in archives:
        archive = Archive(path)
        names = [name for name in archive.names() if _FLICKR8K_FILE.fullmatch(name)]
        for name in state.progress_bar(f"unpacking {path.name}", len(names), "file", names):
            destination = scratch / name
            destination.parent.mkdir(exist_ok=True)
            destination.write_bytes(archive.read(name))
    images = sum(1 for _ in scratch.glob("*/*.jp*g"))
    has_captions = any((scratch / name).is_file() for name in _CAPTION_FILES)
    if not (images and has_captions):
        raise UserFacingError(
            " + ".join(str(path) for path in archives),
            f"{images} images and {'a' if has_captions else 'no'} caption file came out of them",
            f"download.flickr8k_archives must together hold {' or '.join(_IMAGE_FOLDERS)}/*.jpg "
            f"and {' or '.join(_CAPTION_FILES)}",
        )
    scratch.replace(target)  # which may be an empty folder
    return images


def download_competition(config: DownloadConfig, cache: Path, target: Path) -> None:
    """Download the files of the Kaggle competition with the user's account, atomically.

    Args:
        cache: folder for kagglehub's archive; a broken transfer is resumed by the next run.
        target: the folder to make, on the same disk.
    Raises: UserFacingError: no or wrong credentials, rules not accepted, no such competition, no
        network, or files in another format than published.
    """
    page, cache = _competition_page(config), cache.resolve()
    os.environ["KAGGLEHUB_CACHE"] = str(cache)
    try:
        folder = _download_by_kagglehub(config)
    except Exception as error:
        if (explained := _explain_kaggle_error(error, page, target)) is None:
            raise
        raise explained from error
    missing = [name for name in SPORTS_FILES if not (folder / name).exists()]
    if missing:
        found = ", ".join(sorted(entry.name for entry in folder.iterdir())) or "nothing"
        what = f"the competition's files have no {' and no '.join(missing)} (but {found})"
        raise UserFacingError(folder, what, _manual_steps(page, target))
    if not folder.resolve().is_relative_to(cache):  # a Kaggle notebook's mounted data
        folder = Path(shutil.copytree(folder, cache / "copy", dirs_exist_ok=True))
    folder.replace(target)  # which may be an empty folder
    shutil.rmtree(cache, ignore_errors=True)


def _download_by_kagglehub(config: DownloadConfig) -> Path:
    import kagglehub

    for failed in range(config.attempts - 1):
        try:
            return Path(kagglehub.competition_download(config.sports_competition))
        except requests.RequestException as error:
            if error.response is not None:
                raise
            _LOG.info("Kaggle: %s; trying again", error)
            time.sleep(min(config.backoff_s * 2**failed, 30))
    return Path(kagglehub.competition_download(config.sports_competition))


def _explain_kaggle_error(error: Exception, page: str, target: Path) -> Any:
    """The UserFacingError of a kagglehub error; None for other errors."""
    from kagglehub.exceptions import DataCorruptionError, UnauthenticatedError

    status = getattr(getattr(error, "response", None), "status_code", None)
    damaged = (DataCorruptionError, zipfile.BadZipFile, tarfile.TarError)
    if status is not None:
        what = f"Kaggle answered {status} ({error})"
        remedy = {
            401: f"make a new token at {_KAGGLE}/settings/api",
            403: f"accept the competition's rules in the browser at {page}/rules",
            404: "correct download.sports_competition",
        }.get(status, "wait some minutes")
        remedy = f"{remedy} and run again"
    elif isinstance(error, UnauthenticatedError) or "Kaggle credentials" in str(error):
        what = f"no usable Kaggle credentials ({error})"
        remedy = (
            f"make a token at {_KAGGLE}/settings/api and keep it in ~/.kaggle/kaggle.json, in "
            "KAGGLE_API_TOKEN, or in KAGGLE_USERNAME and KAGGLE_KEY"
        )
    elif isinstance(error, damaged) or "Unsupported archive" in str(error):
        what, remedy = f"what Kaggle sent is damaged ({error})", "run again"
    elif isinstance(error, requests.RequestException):
        what, remedy = "Kaggle cannot be reached", "check the network and run again"
    else:
        return None
    return UserFacingError(page, what, f"{remedy}, or {_manual_steps(page, target)}")


def _competition_page(config: DownloadConfig) -> str:
    return f"{_KAGGLE}/competitions/{config.sports_competition}"


def _manual_steps(page: str, target: Path) -> str:
    return (
        f"download it from {page}/data in the browser and save the zip "
        f"as {target.with_name(target.name + '.zip')}, or unpack it so that {target}/ holds "
        "train/train/*.jpg, train_labels.csv, test/test/*.jpg and test_images_list.csv"
    )
