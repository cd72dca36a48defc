"""One HTTP transfer that goes on where an earlier one broke off.

pooch writes into a temporary file and deletes it when a transfer fails, so it begins each time
anew; `ResumingDownloader` has the shape of a pooch downloader and keeps what has come.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import requests
import urllib3

from sports_clip_pipeline.journal.disk import write_atomically

_CHUNK_BYTES = 64 * 1024
_NOT_NOW = {408, 425, 429, 500, 502, 503, 504}
_MEANING = {
    401: "wants a login",
    403: "refuses access",
    404: "has no such file",
    410: "has removed the file",
}
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


class BrokenTransferError(Exception):
    """The transfer failed in a way that may pass; another try can go on with what has come."""


class RefusedTransferError(Exception):
    """The address will not deliver the file, however often it is asked."""


@dataclass(frozen=True)
class Origin:
    """Where the bytes of a partial file come from.

    Attributes:
        url: the address asked.
        validator: the server's strong ETag, or else its Last-Modified; None without either.
        total: length of the whole file in bytes; None where the server did not say.
    """

    url: str
    validator: str | None
    total: int | None


@dataclass(frozen=True)
class ResumingDownloader:
    """A pooch downloader that continues `output_file` with HTTP Range and If-Range.

    Beside `output_file` it keeps `output_file.origin.json`, which says whose bytes these are. What
    another address has left is continued only where the caller can check the result.

    Attributes:
        timeout_s: seconds that a server may stay silent.
        mix_mirrors: continue also what came from another address (a checksum is known).
        report: called with the bytes on disk and the total (None if unknown), often.
    """

    timeout_s: float
    mix_mirrors: bool = False
    report: Callable[[int, int | None], None] = lambda done, total: None

    def __call__(self, url: str, output_file: str | Path, pooch: Any = None) -> bool:
        """Bring `output_file` to its full length.

        Returns: True if bytes of an earlier transfer are part of it.
        Raises: BrokenTransferError: try again, what has come is kept;
            RefusedTransferError: no use in trying again; OSError: the disk.
        """
        path = Path(output_file)
        start = self._usable_bytes(url, path)
        origin = read_origin(path)
        if start and origin is not None and origin.total == start:
            return True
        try:
            with self._ask(url, path, start) as response:
                if response.status_code == 416 and start:
                    return _settle_unsatisfied_range(response, path, start)
                _refuse_errors(response, url)
                return self._receive(response, url, path, start)
        except requests.TooManyRedirects as error:
            raise RefusedTransferError(f"{url} redirects without end") from error
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise BrokenTransferError(f"{url} {_in_words(error)}") from error

    def _usable_bytes(self, url: str, path: Path) -> int:
        origin = read_origin(path)
        if origin is None or not path.exists():
            return 0
        return path.stat().st_size if origin.url == url or self.mix_mirrors else 0

    def _ask(self, url: str, path: Path, start: int) -> requests.Response:
        headers = {"Accept-Encoding": "identity"}
        if start:
            headers["Range"] = f"bytes={start}-"
            origin = read_origin(path)
            if origin is not None and origin.validator and origin.url == url:
                headers["If-Range"] = origin.validator
        return requests.get(url, headers=headers, stream=True, timeout=self.timeout_s)

    def _receive(self, response: requests.Response, url: str, path: Path, start: int) -> bool:
        if response.status_code == 206:
            total = _continued_total(response, path, start)
        else:
            start, total = 0, _content_length(response)
        with path.open("ab" if start else "wb") as file:
            if not start or read_origin(path) is None:
                _write_origin(path, Origin(url, _validator(response), total))
            done = start
            self.report(done, total)
            # read1 hands over what has arrived; iter_content would lose a chunk begun at a break.
            while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=False):
                file.write(chunk)
                done += len(chunk)
                self.report(done, total)
        if total is not None and done < total:
            raise BrokenTransferError(f"{url} broke off at {done:,} of {total:,} bytes")
        if total is not None and done > total:
            forget(path)
            raise BrokenTransferError(f"{url} sent {done:,} bytes, it had announced {total:,}")
        return start > 0


def read_origin(path: Path) -> Origin | None:
    """Whose bytes `path` holds, or None where that is not known."""
    try:
        return Origin(**json.loads(_origin_path(path).read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def forget(path: Path) -> None:
    """Remove a partial file and what is known of it."""
    _origin_path(path).unlink(missing_ok=True)
    path.unlink(missing_ok=True)


def _origin_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.origin.json")


def _write_origin(path: Path, origin: Origin) -> None:
    write_atomically(_origin_path(path), json.dumps(asdict(origin)).encode())


def _settle_unsatisfied_range(response: requests.Response, path: Path, start: int) -> bool:
    """A server that has nothing after `start`: the file is whole, or these bytes are not its."""
    length = response.headers.get("Content-Range", "").removeprefix("bytes */")
    if length == str(start):
        return True
    forget(path)
    raise BrokenTransferError(
        f"{response.url} cannot continue at {start:,} of {length or 'unknown'} bytes"
    )


def _refuse_errors(response: requests.Response, url: str) -> None:
    status = response.status_code
    if status in (200, 206):
        return
    meaning = _MEANING.get(status, response.reason or "not what was asked for")
    if status in _NOT_NOW:
        raise BrokenTransferError(f"{url} answered {status} ({meaning})")
    raise RefusedTransferError(f"{url} answered {status} ({meaning})")


def _continued_total(response: requests.Response, path: Path, start: int) -> int | None:
    """The whole length, from an answer that must go on exactly at `start`."""
    found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    origin = read_origin(path)
    known = origin.total if origin else None
    total = int(found[3]) if found and found[3] != "*" else known
    if found is None or int(found[1]) != start or (known is not None and total != known):
        forget(path)
        raise BrokenTransferError(
            f"{response.url} was asked to go on at byte {start:,} of {known} and answered "
            f"{response.headers.get('Content-Range')!r}"
        )
    return total


def _content_length(response: requests.Response) -> int | None:
    text = response.headers.get("Content-Length", "")
    return int(text) if text.isdigit() else None


def _validator(response: requests.Response) -> str | None:
    etag = response.headers.get("ETag", "")
    return etag if etag.startswith('"') else response.headers.get("Last-Modified")


def _in_words(error: Exception) -> str:
    silent = (requests.Timeout, urllib3.exceptions.TimeoutError)
    if isinstance(error, silent) or "timed out" in str(error):
        return "stayed silent for too long"
    if isinstance(error, requests.exceptions.SSLError):
        return "failed the check of its certificate"
    if isinstance(error, urllib3.exceptions.HTTPError):
        return "broke off in the middle"
    return "cannot be reached (no network, or the server is down)"
