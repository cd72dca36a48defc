"""Zips, configurations and a faulty HTTP server for the tests of downloads."""

import hashlib
import io
import random
import zipfile
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from sports_clip_pipeline.pipelines.ingest.config import DownloadConfig, RemoteArchive
from tests.data.faulty_server import FaultyServer, running

CAPTIONS = "a.jpg#0\tA dog , running .\nb.jpg#0\tTwo people ski .\n"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyServer]:
    """A server without faults, reached without the machine's proxies."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with running() as started:
        yield started


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """pooch does not sleep between retries."""
    monkeypatch.setattr("pooch.core.time", SimpleNamespace(sleep=lambda seconds: None))


@pytest.fixture
def content() -> bytes:
    """A zip of a little more than 300,000 incompressible bytes."""
    noise = random.Random(0).randbytes(300_000)
    return make_zip({"Flicker8k_Dataset/a.jpg": noise})


def make_zip(members: dict[str, bytes | str]) -> bytes:
    """The bytes of an uncompressed zip with these members, the same each time."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return buffer.getvalue()


def md5(content: bytes) -> str:
    """The checksum in the configuration's format."""
    return f"md5:{hashlib.md5(content).hexdigest()}"


def configure(
    archives: list[RemoteArchive | dict[str, Any]] | None = None, **changes: Any
) -> DownloadConfig:
    """A valid configuration without long pauses."""
    unused = {"name": "a.zip", "checksum": None, "mirrors": ["http://127.0.0.1:9/a.zip"]}
    fields = {
        "study": "real",
        "corpora": ["flickr8k"],
        "flickr8k_archives": archives or [unused],
        "flickr8k_licence": "For research only.",
        "flickr8k_page": "https://example.org/flickr8k",
        "sports_competition": "some-sports",
        "sports_licence": "Under the rules.",
        "attempts": 3,
        "backoff_s": 0.01,
        "timeout_s": 5.0,
        "keep_archives": True,
    }
    return DownloadConfig(**{**fields, **changes})
