"""From two scanned corpora to their manifests, quarantine, duplicates and audit."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from sports_clip_pipeline.corpora.duplicates import find_groups, judge, list_duplicates
from sports_clip_pipeline.corpora.scan import Scan, thumbnails
from sports_clip_pipeline.corpora.splits import split_captioned
from sports_clip_pipeline.corpora.store import ImageStore, write_index
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.pipelines.ingest.config import IngestConfig

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
class Settled:
    """Both corpora with duplicates found and judged.

    Attributes:
        images: one row an opened image of either corpus: the manifest's columns, `corpus`,
            `shard`, `row` and `action` (`kept`, `dropped`, `quarantined`).
        quarantine: all that is set aside.
        duplicates: members of groups of two or more.
    """

    images: pd.DataFrame
    quarantine: pd.DataFrame
    duplicates: pd.DataFrame

    def manifest(self, corpus: str) -> pd.DataFrame:
        """The kept images of one corpus, in the order of its store."""
        ours = (self.images["corpus"] == corpus) & (self.images["action"] == "kept")
        return self.images.loc[ours, list(COLUMNS)].reset_index(drop=True)


def settle(flickr8k: Scan, sports: Scan, config: IngestConfig) -> Settled:
    """Find duplicates over both corpora, split Flickr8k where it is not, and judge."""
    scans = (flickr8k, sports)
    images = pd.concat([scan.rows.assign(corpus=scan.corpus) for scan in scans], ignore_index=True)
    small = np.concatenate([thumbnails(scan.rows) for scan in scans])
    images["group"] = find_groups(
        list(images["dhash"]), small, config.near_bits, config.near_grey_levels
    )
    images["split"] = _with_own_splits(images, config)
    images["action"] = judge(images)
    _refuse_too_few(images)
    duplicates = list_duplicates(images, images["action"])
    quarantine = pd.concat([*(scan.quarantine for scan in scans), _conflicts(images)])
    return Settled(images, quarantine.reset_index(drop=True), duplicates)


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
    """Pretraining learns from the captioned corpus, and its held-out parts choose and judge."""
    kept = images[(images["corpus"] == "flickr8k") & (images["action"] == "kept")]
    lacking = [name for name in ("train", "validation", "test") if name not in set(kept["split"])]
    if lacking:
        raise UserFacingError(
            "the captioned corpus",
            f"has {len(kept)} usable photographs, none of them in its part {lacking[0]}",
            "add photographs with captions (a few hundred at least, 8,000 in Flickr8k)",
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
        images: `Settled.images`.
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
    settled: Settled, splits: pd.DataFrame, archives: dict[str, str], config: IngestConfig
) -> dict[str, Any]:
    """Counts by corpus, split and part, what was set aside and why, duplicates, data digest.

    Args:
        settled: both corpora.
        splits: of the labelled one.
        archives: corpus -> digest of its archive.
        config: names the limit of the quarantine.
    """
    kept = settled.images[settled.images["action"] == "kept"]
    found = settled.duplicates
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
            "total": len(settled.quarantine),
            "by_reason": _counts(settled.quarantine["reason"]),
            "by_corpus": _counts(settled.quarantine["corpus"]),
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
