"""Opening every image of a corpus once, in parallel, shard by shard, and going on after a kill."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import imagehash
import numpy as np
import pandas as pd
from PIL import Image

from sports_clip_pipeline.corpora.archive import Archive
from sports_clip_pipeline.corpora.listing import Entry, Listing
from sports_clip_pipeline.corpora.store import shard_name, write_shard
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.journal import Journal, file_sha256, fingerprint
from sports_clip_pipeline.journal.disk import write_atomically
from sports_clip_pipeline.machine import end_with_parent
from sports_clip_pipeline.pipelines.ingest.config import ImageRules, IngestConfig
from sports_clip_pipeline.preprocessing import upright
from sports_clip_pipeline.preprocessing.upright import (
    Photograph,
    UnusableImageError,
    open_upright,
    stored_bytes,
)

THUMBNAIL_SIDE = 16
_INLINE_IMAGES = 300
_ASIDE = ["image", "path", "reason", "detail"]
_FACTS = ("image", "sha256", "stored_sha256", "dhash", "width", "height", "thumbnail", "row")


@dataclass(frozen=True)
class Scan:
    """A corpus whose images have all been opened.

    Attributes:
        corpus: `flickr8k` or `sports`.
        folder: workspace that holds the shards.
        shards: the shards' lines of the index.
        rows: one row a usable image, in the order of the listing: `image`, `path`, `split`,
            `label`, `captions`, `sha256`, `stored_sha256`, `dhash`, `width`, `height`,
            `thumbnail` (hex of 16 × 16 grey bytes), `shard`, `row` (in the shard).
        quarantine: `corpus`, `image`, `path`, `reason`, `detail`.
        digest: of the archive.
    """

    corpus: str
    folder: Path
    shards: tuple[dict[str, Any], ...]
    rows: pd.DataFrame
    quarantine: pd.DataFrame
    digest: str


def scan_corpus(archive: Archive, listing: Listing, config: IngestConfig, journal: Journal) -> Scan:
    """Open, check and keep every image that the listing names.

    Finished shards are kept in the journal's workspace under a fingerprint of the archive, the
    listing, the rules and the code; only missing ones are made.

    Raises: UserFacingError: more images are unusable than `max_quarantine_share` allows.
    """
    rules, size = config.image_rules, config.shard_images
    names = [(entry.image, entry.path) for entry in listing.entries]
    digest = archive.digest()
    mark = fingerprint(digest, names, rules, size, upright, scan_shard, _facts, write_shard)
    folder = journal.workspace(listing.corpus, mark)
    chunks = [names[start : start + size] for start in range(0, len(names), size)]
    todo = [number for number in range(len(chunks)) if not _is_finished(folder, number)]
    work = partial(_scan_numbered, archive, rules, folder)
    processes = min(config.processes, len(todo))
    with (
        _mapping(processes, sum(len(chunks[number]) for number in todo)) as mapped,
        journal.counting(f"open {listing.corpus}", len(names), "images") as bar,
    ):
        bar.update(len(names) - sum(len(chunks[number]) for number in todo))
        for done in mapped(work, [(number, chunks[number]) for number in todo]):
            bar.update(done)
    return _assemble(archive, listing, folder, len(chunks), digest, config)


def scan_shard(
    archive: Archive, rules: ImageRules, names: Sequence[tuple[str, str]], path: Path
) -> dict[str, Any]:
    """Open the images `(image, path)` and write those that are usable as one shard.

    Returns: `shard`, its line of the index; `kept`, columns of facts; `aside`, rows of image,
        reason and detail.
    """
    kept: dict[str, list[Any]] = {name: [] for name in _FACTS}
    jpegs: list[bytes] = []
    aside: list[tuple[str, str, str]] = []
    for image, member in names:
        try:
            content = _content(archive, member)
            photograph = open_upright(content, rules)
        except UnusableImageError as error:
            aside.append((image, error.reason, error.detail))
            continue
        jpeg = stored_bytes(content, photograph, rules)
        for name, fact in zip(_FACTS, _facts(image, content, jpeg, photograph), strict=False):
            kept[name].append(fact)
        kept["row"].append(len(jpegs))
        jpegs.append(jpeg)
    return {"shard": write_shard(path, kept["image"], jpegs), "kept": kept, "aside": aside}


def _content(archive: Archive, member: str) -> bytes:
    try:
        return archive.read(member)
    except UserFacingError as error:
        raise UnusableImageError("damaged", error.what) from error


def _facts(image: str, content: bytes, jpeg: bytes, photograph: Photograph) -> tuple[Any, ...]:
    pixels = photograph.image
    grey = pixels.convert("L").resize((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.BOX)
    return (
        image,
        hashlib.sha256(content).hexdigest(),
        hashlib.sha256(jpeg).hexdigest(),
        str(imagehash.dhash(pixels)),
        pixels.width,
        pixels.height,
        grey.tobytes().hex(),
    )


def _scan_numbered(
    archive: Archive, rules: ImageRules, folder: Path, task: tuple[int, list[tuple[str, str]]]
) -> int:
    number, names = task
    facts = scan_shard(archive, rules, names, folder / shard_name(number))
    write_atomically(_facts_path(folder, number), json.dumps(facts).encode())
    return len(names)


def _facts_path(folder: Path, number: int) -> Path:
    return (folder / shard_name(number)).with_suffix(".json")


def _is_finished(folder: Path, number: int) -> bool:
    """Whether the shard and its facts are there and undamaged."""
    path, facts = folder / shard_name(number), _facts_path(folder, number)
    if not (path.is_file() and facts.is_file()):
        return False
    try:
        return bool(json.loads(facts.read_bytes())["shard"]["sha256"] == file_sha256(path))
    except (ValueError, KeyError, TypeError):
        return False


@contextmanager
def _mapping(processes: int, images: int) -> Iterator[Any]:
    """`map`, over processes where there is enough to do."""
    if processes <= 1 or images <= _INLINE_IMAGES:
        yield map
        return
    with ProcessPoolExecutor(processes, get_context("spawn"), end_with_parent) as executor:
        try:
            yield executor.map
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)
            raise


def _assemble(
    archive: Archive,
    listing: Listing,
    folder: Path,
    count: int,
    digest: str,
    config: IngestConfig,
) -> Scan:
    entries = {entry.image: entry for entry in listing.entries}
    shards, tables, aside = [], [], []
    for number in range(count):
        facts = json.loads(_facts_path(folder, number).read_bytes())
        shards.append(facts["shard"])
        tables.append(pd.DataFrame(facts["kept"], columns=list(_FACTS)).assign(shard=number))
        aside += facts["aside"]
    rows = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=list(_FACTS))
    missing = [(item.image, item.reason, item.detail) for item in listing.aside if not item.path]
    _refuse_too_many(archive, [*aside, *missing], len(entries) + len(missing), config)
    unopened = [(item.image, item.path, item.reason, item.detail) for item in listing.aside]
    opened = [(image, entries[image].path, reason, what) for image, reason, what in aside]
    quarantine = pd.DataFrame([*opened, *unopened], columns=_ASIDE, dtype="str")
    quarantine = quarantine.assign(corpus=listing.corpus)[["corpus", *_ASIDE]].astype("str")
    published = _published([entries[image] for image in rows["image"]])
    rows = pd.concat([published, rows.drop(columns="image")], axis=1)
    return Scan(listing.corpus, folder, tuple(shards), rows, quarantine, digest)


def _published(entries: Sequence[Entry]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "image": pd.Series([entry.image for entry in entries], dtype="str"),
            "path": pd.Series([entry.path for entry in entries], dtype="str"),
            "split": pd.Series([entry.split for entry in entries], dtype="str"),
            "label": pd.Series([entry.label for entry in entries], dtype="str"),
            "captions": pd.Series([list(entry.captions) for entry in entries], dtype=object),
        }
    )


def _refuse_too_many(archive: Archive, aside: list[Any], total: int, config: IngestConfig) -> None:
    if len(aside) > config.max_quarantine_share * total:
        image, reason, detail = aside[0]
        raise UserFacingError(
            archive.path,
            f"{len(aside)} of {total} images cannot be used, more than the allowed "
            f"{config.max_quarantine_share:.1%} (the first: {image}: {reason}, {detail})",
            "mend the archive, or raise ingest.max_quarantine_share",
        )


def thumbnails(rows: pd.DataFrame) -> np.ndarray:
    """(N, 256) uint8 from the column `thumbnail`."""
    joined = np.frombuffer(bytes.fromhex("".join(rows["thumbnail"])), np.uint8)
    return joined.reshape(len(rows), THUMBNAIL_SIDE**2)
