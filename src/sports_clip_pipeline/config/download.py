"""Parameter block `download`: where the published corpora come from, and how patiently."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from sports_clip_pipeline.config.checks import (
    as_tuple,
    require,
    require_choice,
    require_number,
)

CORPORA = ("flickr8k", "sports")
_HEX_DIGITS = {"md5": 32, "sha256": 64}
_ARCHIVE_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*\.zip")
_SLUG = re.compile(r"[a-z0-9][a-z0-9-]*")
_URL = re.compile(r"https?://[^\s/]+\S*")


@dataclass(frozen=True)
class RemoteArchive:
    """One zip archive and the places that serve it.

    Attributes:
        name: its file name, ending in `.zip`.
        checksum: `md5:…` or `sha256:…` in hex, or None for trust on first use.
        mirrors: addresses that serve the same bytes, tried in this order.
    """

    name: str
    checksum: str | None
    mirrors: tuple[str, ...]

    def __post_init__(self) -> None:
        where = "download.flickr8k_archives"
        is_name = isinstance(self.name, str) and bool(_ARCHIVE_NAME.fullmatch(self.name))
        require(is_name, f"{where}.name", "a plain file name that ends in .zip", self.name)
        wanted = "md5: or sha256: and its hex digits, or null for trust on first use"
        is_known = self.checksum is None or _is_checksum(self.checksum)
        require(is_known, f"{where}.checksum", wanted, self.checksum)
        mirrors = (self.mirrors,) if isinstance(self.mirrors, str) else self.mirrors
        is_list = isinstance(mirrors, (list, tuple)) and bool(mirrors)
        require(is_list, f"{where}.mirrors", "a list of one or more addresses", self.mirrors)
        for url in mirrors:
            is_url = isinstance(url, str) and bool(_URL.fullmatch(url))
            require(is_url, f"{where}.mirrors", "addresses that begin with http(s)://", url)
        object.__setattr__(self, "mirrors", tuple(mirrors))


@dataclass(frozen=True)
class DownloadConfig:
    """Parameter block `download`.

    Attributes:
        study: the study whose raw folder is filled; `sample` is refused (its corpora are drawn).
        corpora: which to get, of `flickr8k` and `sports`; `flickr8k+sports` on the command line.
        flickr8k_archives: the archives that together make Flickr8k.
        flickr8k_licence: what is shown before anything of Flickr8k is downloaded.
        flickr8k_page: where a person can read about it and get it by hand.
        sports_competition: the Kaggle competition's name in its address.
        sports_licence: what is shown before anything of Sports is downloaded.
        attempts: tries a mirror gets without progress before the next one is asked.
        backoff_s: seconds before the second try; doubled before each later one, up to 30.
        timeout_s: seconds that a server may stay silent.
        keep_archives: keep the zips in `downloads/` once they are unpacked.
    """

    study: str
    corpora: tuple[str, ...]
    flickr8k_archives: tuple[RemoteArchive, ...]
    flickr8k_licence: str
    flickr8k_page: str
    sports_competition: str
    sports_licence: str
    attempts: int
    backoff_s: float
    timeout_s: float
    keep_archives: bool

    def __post_init__(self) -> None:
        corpora = as_tuple(self.corpora, "download.corpora", str)
        for corpus in corpora:
            require_choice(corpus, "download.corpora", CORPORA)
        object.__setattr__(self, "corpora", corpora)
        object.__setattr__(self, "flickr8k_archives", _archives(self.flickr8k_archives))
        for field in ("study", "flickr8k_licence", "flickr8k_page", "sports_licence"):
            value = getattr(self, field)
            is_text = isinstance(value, str) and bool(value.strip())
            require(is_text, f"download.{field}", "a text", value)
        slug = self.sports_competition
        is_slug = isinstance(slug, str) and bool(_SLUG.fullmatch(slug))
        wanted = "the competition's name as in its address (a-z, 0-9 and -)"
        require(is_slug, "download.sports_competition", wanted, slug)
        require_number(self.attempts, "download.attempts", 1, 100, integer=True)
        require_number(self.backoff_s, "download.backoff_s", 0, 30)
        require_number(self.timeout_s, "download.timeout_s", 0.1, 3600)
        is_flag = isinstance(self.keep_archives, bool)
        require(is_flag, "download.keep_archives", "true or false", self.keep_archives)


def _archives(value: Any) -> tuple[RemoteArchive, ...]:
    parameter, keys = "download.flickr8k_archives", {"name", "checksum", "mirrors"}
    is_list = isinstance(value, (list, tuple)) and bool(value)
    require(is_list, parameter, "a list of {name, checksum, mirrors}", value)
    for entry in value:
        is_entry = isinstance(entry, dict) and set(entry) == keys
        is_known = is_entry or isinstance(entry, RemoteArchive)
        require(is_known, parameter, "the keys name, checksum and mirrors in each", entry)
    archives = [RemoteArchive(**entry) if isinstance(entry, dict) else entry for entry in value]
    names = [archive.name for archive in archives]
    require(len(set(names)) == len(names), parameter, "each name once", names)
    return tuple(archives)


def _is_checksum(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    algorithm, _, digest = value.partition(":")
    length = _HEX_DIGITS.get(algorithm)
    return length is not None and bool(re.fullmatch(f"[0-9a-f]{{{length}}}", digest))
