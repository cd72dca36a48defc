"""Ingests corpora: decodes every image, resolves duplicates, writes manifests and image stores.

Images are decoded in parallel, shard by shard; finished shards are reused by the next run.
"""

import hashlib
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sports_clip_pipeline.data.archives import Archive
from sports_clip_pipeline.data.duplicates import (
    duplicate_actions,
    group_duplicates,
    list_duplicates,
)
from sports_clip_pipeline.data.image_store import ImageStore, write_index, write_shard
from sports_clip_pipeline.data.listing import Listing, RejectedFile
from sports_clip_pipeline.data.near_duplicates import (
    APPEARANCE,
    appearance_of,
    near_duplicate_pairs,
)
from sports_clip_pipeline.data.splits import split_captioned
from sports_clip_pipeline.data.transforms import UnusableImageError, open_upright, stored_bytes
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.io.fingerprint import file_sha256, fingerprint
from sports_clip_pipeline.io.state import RunState, write_atomically
from sports_clip_pipeline.machine import exit_with_parent, worker_processes
from sports_clip_pipeline.pipelines.ingest.config import ImageRules, IngestConfig

_MAX_IMAGES_IN_PROCESS = 300
_REJECTED = ["image", "path", "reason", "detail"]
_LISTED = ["image", "path", "split", "label"]
_FACTS = ["image", "sha256", "stored_sha256", "width", "height", "row"]
_MANIFEST = ["image", "path", "sha256", "stored_sha256", "width", "height"]
_MANIFEST += ["split", "label", "captions", "group"]


@dataclass(frozen=True)
class Scan:
    """A corpus whose images have all been decoded.

    Attributes:
        corpus: `flickr8k` or `sports`.
        folder: workspace with the shards.
        shards: the shards' index entries.
        rows: one row per usable image, in the order of the listing: `image`, `path`, `split`,
            `label`, `captions`, `sha256`, `stored_sha256`, `width`, `height`, `shard`,
            `row` (in the shard).
        quarantine: `corpus`, `image`, `path`, `reason`, `detail`.
        digest: of the archive.
    """

    corpus: str
    folder: Path
    shards: tuple[dict[str, Any], ...]
    rows: pd.DataFrame
    quarantine: pd.DataFrame
    digest: str


def scan_corpus(archive: Archive, listing: Listing, config: IngestConfig, state: RunState) -> Scan:
    """Decode, check and store every listed image.

    Finished shards stay in the workspace of `state` under a fingerprint of the archive, the
    listing, the rules and the code; only missing ones are made.

    Raises: UserFacingError: more images are unusable than `max_quarantine_share` allows.
    """
    rules, size = config.image_rules, config.shard_images
    names = [(entry.image, entry.path) for entry in listing.entries]
    digest = archive.digest()
    key = fingerprint(digest, names, rules, size, sys.modules[__name__])
    folder = state.workspace(listing.corpus, key)
    chunks = [names[start : start + size] for start in range(0, len(names), size)]
    todo = [number for number in range(len(chunks)) if not _is_finished(folder, number)]
    images = sum(len(chunks[number]) for number in todo)
    work = partial(scan_shard, archive, rules, folder)
    with (
        _parallel_map(min(config.processes, len(todo)), images) as parallel_map,
        state.progress_bar(f"open {listing.corpus}", len(names), "images") as bar,
    ):
        bar.update(len(names) - images)
        for done in parallel_map(work, [(number, chunks[number]) for number in todo]):
            bar.update(done)
    paths = (_shard_and_facts(folder, number)[1] for number in range(len(chunks)))
    facts = [json.loads(path.read_bytes()) for path in paths]
    return _assemble(archive, listing, folder, facts, digest, config)


def scan_shard(
    archive: Archive, rules: ImageRules, folder: Path, task: tuple[int, list[tuple[str, str]]]
) -> int:
    """Decode the images `(image, path)` of a shard, write the usable ones and their facts.

    The facts are JSON: `shard`, its index entry; `appearances`, the sha256 of the file with what is
    compared of its images; `usable`, rows of `_FACTS`; `rejected`, rows of `_REJECTED`.

    Returns: the number of images.
    """
    number, names = task
    usable: list[tuple[Any, ...]] = []
    jpegs: list[bytes] = []
    appearances: list[np.ndarray] = []
    rejected: list[tuple[str, ...]] = []
    for name, path in names:
        try:
            content = archive.read(path)
            image = open_upright(content, rules)
        except UserFacingError as error:
            rejected.append((name, path, "damaged", error.what))
            continue
        except UnusableImageError as error:
            rejected.append((name, path, error.reason, error.detail))
            continue
        jpeg = stored_bytes(content, image, rules)
        digests = (hashlib.sha256(data).hexdigest() for data in (content, jpeg))
        usable.append((name, *digests, *image.size, len(jpegs)))
        jpegs.append(jpeg)
        appearances.append(appearance_of(image))
    shard_path, facts_path = _shard_and_facts(folder, number)
    shard = write_shard(shard_path, [row[0] for row in usable], jpegs)
    packed = np.array(appearances, APPEARANCE).tobytes()
    write_atomically(_appearances(folder, number), packed)
    digest = hashlib.sha256(packed).hexdigest()
    facts = {"shard": shard, "appearances": digest, "usable": usable, "rejected": rejected}
    write_atomically(facts_path, json.dumps(facts).encode())
    return len(names)


def _shard_and_facts(folder: Path, number: int) -> tuple[Path, Path]:
    path = folder / f"shard-{number:05d}.arrow"
    return path, path.with_suffix(".json")


def _appearances(folder: Path, number: int) -> Path:
    return folder / f"shard-{number:05d}.appearances"


def _is_finished(folder: Path, number: int) -> bool:
    """Whether the shard and its facts are complete and undamaged."""
    path, facts = _shard_and_facts(folder, number)
    try:
        known = json.loads(facts.read_bytes())
        digests = known["shard"]["sha256"], known["appearances"]
        return digests == (file_sha256(path), file_sha256(_appearances(folder, number)))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return False


@contextmanager
def _parallel_map(processes: int, images: int) -> Iterator[Any]:
    """`map`, over processes if there are many images."""
    if processes <= 1 or images <= _MAX_IMAGES_IN_PROCESS:
        yield map
        return
    with worker_processes(processes, exit_with_parent) as executor:
        yield executor.map


def _assemble(
    archive: Archive,
    listing: Listing,
    folder: Path,
    facts: list[dict[str, Any]],
    digest: str,
    config: IngestConfig,
) -> Scan:
    """Join the listing with the facts of all shards."""
    rejected = [RejectedFile(*row) for one in facts for row in one["rejected"]]
    missing = [item for item in listing.rejected if not item.path]
    unusable, total = [*rejected, *missing], len(listing.entries) + len(missing)
    if len(unusable) > config.max_quarantine_share * total:
        first = unusable[0]
        raise UserFacingError(
            archive.path,
            f"{len(unusable)} of {total} images cannot be used, more than the allowed "
            f"{config.max_quarantine_share:.1%} (the first: {first.image}: {first.reason}, "
            f"{first.detail})",
            "correct the archive, or raise ingest.max_quarantine_share",
        )
    quarantine = pd.DataFrame([*rejected, *listing.rejected], columns=_REJECTED)
    quarantine.insert(0, "corpus", listing.corpus)
    usable = [(*row, k) for k, one in enumerate(facts) for row in one["usable"]]
    listed = pd.DataFrame(listing.entries, columns=[*_LISTED, "captions"])
    listed = listed.astype(dict.fromkeys(_LISTED, "str"))
    listed["captions"] = listed["captions"].map(list)
    rows = listed.merge(pd.DataFrame(usable, columns=[*_FACTS, "shard"]), on="image")
    shards = tuple(one["shard"] for one in facts)
    return Scan(listing.corpus, folder, shards, rows, quarantine.astype("str"), digest)


def _groups(scans: Sequence[Scan], images: pd.DataFrame, config: IngestConfig) -> np.ndarray:
    """(N,) duplicate group of each image; images of the same bytes are compared as one."""
    digests = images["sha256"].to_numpy(dtype=str)
    _, first, content = np.unique(digests, return_index=True, return_inverse=True)
    # They are compared in the order of their digests, whatever that of the images.
    places = images.loc[first, ["corpus", "shard", "row"]].reset_index(drop=True)
    appearances = np.empty(len(first), APPEARANCE)
    for scan in scans:
        for shard, at in places[places["corpus"] == scan.corpus].groupby("shard")["row"]:
            file = np.fromfile(_appearances(scan.folder, int(str(shard))), APPEARANCE)
            appearances[at.index] = file[at]
    limits = config.near_inliers, config.near_correlation, config.near_whole_correlation
    pairs = near_duplicate_pairs(appearances, *limits, config.processes)
    return group_duplicates(content.tolist(), pairs)


def resolve_duplicates(
    flickr8k: Scan, sports: Scan, config: IngestConfig
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Find and resolve duplicates over both corpora; split Flickr8k if no split is published.

    Returns: one row per decoded image of either corpus (the manifest's columns, `corpus`, `shard`,
        `row` and `action`: `kept`, `dropped`, `quarantined`), all rejected files, and the members
        of groups of two or more duplicates.
    Raises: UserFacingError: the captioned corpus has no training, validation or test image left.
    """
    scans = (flickr8k, sports)
    images = pd.concat([scan.rows.assign(corpus=scan.corpus) for scan in scans], ignore_index=True)
    images["group"] = _groups(scans, images, config)
    unsplit = images["split"] == ""
    if unsplit.any():
        corpora = images.groupby("group")["corpus"].transform("nunique")
        images.loc[unsplit, "split"] = split_captioned(
            images.loc[unsplit, "group"].to_numpy(),
            (corpora[unsplit] == 1).to_numpy(),
            config.validation_images,
            config.test_images,
            config.max_heldout_share,
            config.seed,
        )
    images["action"] = duplicate_actions(images)
    captioned = images[(images["corpus"] == "flickr8k") & (images["action"] == "kept")]
    for split in ("train", "validation", "test"):
        if not (captioned["split"] == split).any():
            raise UserFacingError(
                "the captioned corpus",
                f"has {len(captioned)} usable images, none of them in its split {split}",
                "add images with captions (a few hundred at least, 8,000 in Flickr8k)",
            )
    quarantine = pd.concat([*(scan.quarantine for scan in scans), _conflicting_labels(images)])
    duplicates = list_duplicates(images, images["action"])
    return images, quarantine.reset_index(drop=True), duplicates


def manifest_of(corpus: str, images: pd.DataFrame) -> pd.DataFrame:
    """The kept images of one corpus, in the order of its store."""
    is_kept = (images["corpus"] == corpus) & (images["action"] == "kept")
    return images.loc[is_kept, _MANIFEST].reset_index(drop=True)


def _conflicting_labels(images: pd.DataFrame) -> pd.DataFrame:
    """Quarantine rows of duplicates with different labels."""
    found = images.loc[images["action"] == "quarantined", ["corpus", "image", "path", "group"]]
    members = images.loc[images["group"].isin(found["group"]), ["group", "label"]].dropna()
    members = members.drop_duplicates().sort_values("label")
    labels = members.groupby("group")["label"].agg(" / ".join)
    detail = found["group"].map(labels).astype("str")
    return found.drop(columns="group").assign(reason="conflicting_labels", detail=detail)


def close_store(scan: Scan, images: pd.DataFrame) -> ImageStore:
    """Write the index of a scanned corpus without the images that are not kept; open the store.

    Args:
        images: of `resolve_duplicates`.
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
    resolved: tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame],
    splits: pd.DataFrame,
    archives: dict[str, str],
    config: IngestConfig,
) -> dict[str, Any]:
    """Counts by corpus and split, rejected files by reason, duplicates, data digest.

    Args:
        resolved: of `resolve_duplicates`.
        splits: of the labelled corpus.
        archives: corpus -> digest of its archive.
    """
    images, quarantine, found = resolved
    kept = images[images["action"] == "kept"]
    return {
        "images": {
            corpus: {"total": len(rows), **_counts(rows["split"])}
            for corpus, rows in kept.groupby("corpus")
        },
        "captions": int(kept["captions"].map(len).sum()),
        "classes": _counts(kept["label"].dropna()),
        "splits": _counts(splits["split"]),
        "quarantine": {
            "total": len(quarantine),
            "by_reason": _counts(quarantine["reason"]),
            "by_corpus": _counts(quarantine["corpus"]),
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

    It is the same for packed and unpacked archives.
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
