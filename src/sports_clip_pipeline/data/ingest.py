"""Ingests corpora: opens and checks every image, resolves duplicates, writes manifests and stores.

Images are decoded in parallel, shard by shard; finished shards are reused after a kill.
"""

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

from sports_clip_pipeline.data import transforms
from sports_clip_pipeline.data.archives import Archive
from sports_clip_pipeline.data.duplicates import (
    duplicate_actions,
    group_near_duplicates,
    list_duplicates,
)
from sports_clip_pipeline.data.image_store import ImageStore, shard_name, write_index, write_shard
from sports_clip_pipeline.data.listing import Entry, Listing
from sports_clip_pipeline.data.splits import split_captioned
from sports_clip_pipeline.data.transforms import (
    DecodedImage,
    UnusableImageError,
    open_upright,
    stored_bytes,
)
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.io.fingerprint import file_sha256, fingerprint
from sports_clip_pipeline.io.state import RunState, write_atomically
from sports_clip_pipeline.machine import exit_with_parent
from sports_clip_pipeline.pipelines.ingest.config import ImageRules, IngestConfig

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


def scan_corpus(
    archive: Archive, listing: Listing, config: IngestConfig, journal: RunState
) -> Scan:
    """Open, check and keep every image that the listing names.

    Finished shards are kept in the journal's workspace under a fingerprint of the archive, the
    listing, the rules and the code; only missing ones are made.

    Raises: UserFacingError: more images are unusable than `max_quarantine_share` allows.
    """
    rules, size = config.image_rules, config.shard_images
    names = [(entry.image, entry.path) for entry in listing.entries]
    digest = archive.digest()
    key = fingerprint(digest, names, rules, size, transforms, scan_shard, _facts, write_shard)
    folder = journal.workspace(listing.corpus, key)
    chunks = [names[start : start + size] for start in range(0, len(names), size)]
    todo = [number for number in range(len(chunks)) if not _is_finished(folder, number)]
    work = partial(_scan_numbered, archive, rules, folder)
    processes = min(config.processes, len(todo))
    with (
        _mapping(processes, sum(len(chunks[number]) for number in todo)) as mapped,
        journal.progress_bar(f"open {listing.corpus}", len(names), "images") as bar,
    ):
        bar.update(len(names) - sum(len(chunks[number]) for number in todo))
        for done in mapped(work, [(number, chunks[number]) for number in todo]):
            bar.update(done)
    return _assemble(archive, listing, folder, len(chunks), digest, config)


def scan_shard(
    archive: Archive, rules: ImageRules, names: Sequence[tuple[str, str]], path: Path
) -> dict[str, Any]:
    """Open the images `(image, path)` and write those that are usable as one shard.

    Returns: `shard`, its line of the index; `kept`, columns of facts; `rejected`, rows of image,
        reason and detail.
    """
    kept: dict[str, list[Any]] = {name: [] for name in _FACTS}
    jpegs: list[bytes] = []
    rejected: list[tuple[str, str, str]] = []
    for image, member in names:
        try:
            content = _content(archive, member)
            decoded = open_upright(content, rules)
        except UnusableImageError as error:
            rejected.append((image, error.reason, error.detail))
            continue
        jpeg = stored_bytes(content, decoded, rules)
        for name, fact in zip(_FACTS, _facts(image, content, jpeg, decoded), strict=False):
            kept[name].append(fact)
        kept["row"].append(len(jpegs))
        jpegs.append(jpeg)
    return {"shard": write_shard(path, kept["image"], jpegs), "kept": kept, "rejected": rejected}


def _content(archive: Archive, member: str) -> bytes:
    try:
        return archive.read(member)
    except UserFacingError as error:
        raise UnusableImageError("damaged", error.what) from error


def _facts(image: str, content: bytes, jpeg: bytes, decoded: DecodedImage) -> tuple[Any, ...]:
    pixels = decoded.image
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
    with ProcessPoolExecutor(processes, get_context("spawn"), exit_with_parent) as executor:
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
    shards, tables, rejected = [], [], []
    for number in range(count):
        facts = json.loads(_facts_path(folder, number).read_bytes())
        shards.append(facts["shard"])
        tables.append(pd.DataFrame(facts["kept"], columns=list(_FACTS)).assign(shard=number))
        rejected += facts["rejected"]
    rows = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=list(_FACTS))
    missing = [(item.image, item.reason, item.detail) for item in listing.rejected if not item.path]
    _refuse_too_many(archive, [*rejected, *missing], len(entries) + len(missing), config)
    unopened = [(item.image, item.path, item.reason, item.detail) for item in listing.rejected]
    opened = [(image, entries[image].path, reason, what) for image, reason, what in rejected]
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


def _refuse_too_many(
    archive: Archive, rejected: list[Any], total: int, config: IngestConfig
) -> None:
    if len(rejected) > config.max_quarantine_share * total:
        image, reason, detail = rejected[0]
        raise UserFacingError(
            archive.path,
            f"{len(rejected)} of {total} images cannot be used, more than the allowed "
            f"{config.max_quarantine_share:.1%} (the first: {image}: {reason}, {detail})",
            "mend the archive, or raise ingest.max_quarantine_share",
        )


def thumbnails(rows: pd.DataFrame) -> np.ndarray:
    """(N, 256) uint8 from the column `thumbnail`."""
    joined = np.frombuffer(bytes.fromhex("".join(rows["thumbnail"])), np.uint8)
    return joined.reshape(len(rows), THUMBNAIL_SIDE**2)


COLUMNS = (
    "image",
    "path",
    "sha256",
    "stored_sha256",
    "dhash",
    "width",
    "height",
    "split",
    "label",
    "captions",
    "group",
)
CONFLICT = "conflicting_labels"


@dataclass(frozen=True)
class ResolvedCorpora:
    """Both corpora with duplicates found and resolved.

    Attributes:
        images: one row an opened image of either corpus: the manifest's columns, `corpus`,
            `shard`, `row` and `action` (`kept`, `dropped`, `quarantined`).
        quarantine: all that is rejected.
        duplicates: members of groups of two or more.
    """

    images: pd.DataFrame
    quarantine: pd.DataFrame
    duplicates: pd.DataFrame

    def manifest(self, corpus: str) -> pd.DataFrame:
        """The kept images of one corpus, in the order of its store."""
        ours = (self.images["corpus"] == corpus) & (self.images["action"] == "kept")
        return self.images.loc[ours, list(COLUMNS)].reset_index(drop=True)


def resolve_duplicates(flickr8k: Scan, sports: Scan, config: IngestConfig) -> ResolvedCorpora:
    """Find duplicates over both corpora, split Flickr8k where it is not, decide what stays."""
    scans = (flickr8k, sports)
    images = pd.concat([scan.rows.assign(corpus=scan.corpus) for scan in scans], ignore_index=True)
    small = np.concatenate([thumbnails(scan.rows) for scan in scans])
    images["group"] = group_near_duplicates(
        list(images["dhash"]), small, config.near_bits, config.near_grey_levels
    )
    images["split"] = _with_own_splits(images, config)
    images["action"] = duplicate_actions(images)
    _refuse_too_few(images)
    duplicates = list_duplicates(images, images["action"])
    quarantine = pd.concat([*(scan.quarantine for scan in scans), _conflicts(images)])
    return ResolvedCorpora(images, quarantine.reset_index(drop=True), duplicates)


def _with_own_splits(images: pd.DataFrame, config: IngestConfig) -> pd.Series:
    split = images["split"].copy()
    ours = (images["split"] == "").to_numpy()
    corpora = images.groupby("group")["corpus"].transform("nunique").to_numpy()
    if ours.any():
        split[ours] = split_captioned(
            images["group"].to_numpy()[ours],
            corpora[ours] == 1,
            config.validation_images,
            config.test_images,
            config.max_heldout_share,
            config.seed,
        )
    return split


def _refuse_too_few(images: pd.DataFrame) -> None:
    """Refuse a captioned corpus without training, validation or test images."""
    kept = images[(images["corpus"] == "flickr8k") & (images["action"] == "kept")]
    lacking = [name for name in ("train", "validation", "test") if name not in set(kept["split"])]
    if lacking:
        raise UserFacingError(
            "the captioned corpus",
            f"has {len(kept)} usable images, none of them in its split {lacking[0]}",
            "add images with captions (a few hundred at least, 8,000 in Flickr8k)",
        )


def _conflicts(images: pd.DataFrame) -> pd.DataFrame:
    found = images.loc[images["action"] == "quarantined", ["corpus", "image", "path", "group"]]
    members = images.loc[images["group"].isin(found["group"]), ["group", "label"]].dropna()
    labels = (
        members.drop_duplicates().sort_values("label").groupby("group")["label"].agg(" / ".join)
    )
    detail = found["group"].map(labels).astype("str")
    return found.drop(columns="group").assign(reason=CONFLICT, detail=detail)


def close_store(scan: Scan, images: pd.DataFrame) -> ImageStore:
    """Write the index of a scanned corpus that leaves out what is not kept, and open the store.

    Args:
        scan: the corpus.
        images: `ResolvedCorpora.images`.
    """
    gone = images[(images["corpus"] == scan.corpus) & (images["action"] != "kept")]
    dropped = gone.groupby("shard")["row"].agg(list).to_dict()
    shards = [
        {**shard, "dropped": sorted(int(row) for row in dropped.get(number, []))}
        for number, shard in enumerate(scan.shards)
    ]
    write_index(scan.folder, shards)
    return ImageStore(scan.folder)


def audit(
    resolved: ResolvedCorpora, splits: pd.DataFrame, archives: dict[str, str], config: IngestConfig
) -> dict[str, Any]:
    """Counts by corpus and split, what was rejected and why, duplicates, data digest.

    Args:
        resolved: both corpora.
        splits: of the labelled one.
        archives: corpus -> digest of its archive.
        config: names the limit of the quarantine.
    """
    kept = resolved.images[resolved.images["action"] == "kept"]
    found = resolved.duplicates
    images = {
        corpus: {"total": len(rows), **_counts(rows["split"])}
        for corpus, rows in kept.groupby("corpus")
    }
    return {
        "images": images,
        "captions": int(kept["captions"].map(len).sum()),
        "classes": _counts(kept["label"].dropna()),
        "parts": _counts(splits["split"]),
        "quarantine": {
            "total": len(resolved.quarantine),
            "by_reason": _counts(resolved.quarantine["reason"]),
            "by_corpus": _counts(resolved.quarantine["corpus"]),
            "limit_share": config.max_quarantine_share,
        },
        "duplicates": {
            "groups": int(found["group"].nunique()),
            "images": len(found),
            "by_kind": _counts(found["kind"]),
            "by_action": _counts(found["action"]),
            "dropped_by_corpus": _counts(found.loc[found["action"] == "dropped", "corpus"]),
        },
        "archives": archives,
        "data_digest": data_digest(kept),
    }


def data_digest(kept: pd.DataFrame) -> str:
    """sha256 over every kept image: corpus, name, bytes, split, label and captions.

    It does not depend on whether the archives were packed.
    """
    digest = hashlib.sha256()
    columns = ["corpus", "image", "sha256", "split", "label", "captions"]
    ordered = kept.sort_values(["corpus", "image"])[columns]
    for corpus, image, sha256, split, label, captions in ordered.itertuples(index=False):
        row = [corpus, image, sha256, split, None if pd.isna(label) else label, list(captions)]
        digest.update(json.dumps(row, ensure_ascii=False).encode())
    return digest.hexdigest()


def _counts(values: pd.Series) -> dict[str, int]:
    return {str(name): int(count) for name, count in values.value_counts().sort_index().items()}
