"""Parameter block `ingest`: how corpora are read, checked, stored, deduplicated and split."""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from sports_clip_pipeline.data.formats import ArchiveLimits, ImageRules, LabelledForm
from sports_clip_pipeline.machine import cores
from sports_clip_pipeline.parameters import Names, Parameters, Seed, Text, choices


class IngestConfig(Parameters, block="ingest"):
    """Readers, image rules, near-duplicate grouping and split sizes."""

    labelled: LabelledForm = Field(
        default_factory=LabelledForm, description="Form of the labelled corpus."
    )
    image_rules: ImageRules = Field(
        default_factory=ImageRules, description="Usable images and their storage."
    )
    limits: ArchiveLimits = Field(
        default_factory=ArchiveLimits, description="Limits of an archive."
    )
    max_quarantine_share: float = Field(
        0.05, ge=0, le=1, description="The run stops when more than this share is unreadable."
    )
    shard_images: int = Field(
        512, ge=1, le=65_536, description="Images a shard of the store; the unit of resumption."
    )
    workers: int = Field(0, ge=0, le=256, description="Decoding processes; 0: one for each core.")
    near_inliers: int = Field(
        30, ge=10, le=500, description="Near duplicates: least keypoints that one map explains."
    )
    near_correlation: float = Field(
        0.7, ge=0, le=1, description="Near duplicates: least correlation of the pixels around them."
    )
    near_whole_correlation: float = Field(
        0.95, ge=0, le=1, description="Whole near duplicates: least correlation of thumbnails."
    )
    validation_images: int = Field(
        1000, ge=1, le=10_000_000, description="Flickr8k validation images if no list is published."
    )
    test_images: int = Field(
        1000, ge=1, le=10_000_000, description="Flickr8k test images if no list is published."
    )
    max_heldout_share: float = Field(
        0.125, ge=0.001, le=0.4, description="Neither takes more than this share of a small corpus."
    )
    test_share: float = Field(
        0.2, ge=0.01, le=0.9, description="Share of the labelled images kept for testing."
    )
    seed: Seed = Field(0, description="Seed of the splits.")

    @property
    def processes(self) -> int:
        """Processes that decode."""
        return self.workers or cores()


CORPORA = ("flickr8k", "sports")
_CHECKSUM = re.compile(r"md5:[0-9a-f]{32}|sha256:[0-9a-f]{64}")


def _checksum(value: str) -> str:
    if not _CHECKSUM.fullmatch(value):
        raise ValueError(
            "wanted md5: or sha256: and its hex digits, or null for trust on first use"
        )
    return value


def _http(urls: tuple[str, ...]) -> tuple[str, ...]:
    if not all(re.fullmatch(r"https?://[^\s/]+\S*", url) for url in urls):
        raise ValueError("wanted addresses that begin with http(s)://")
    return urls


def _one_or_more(value: Any) -> Any:
    return (value,) if isinstance(value, str) else tuple(value) if value else value


class RemoteArchive(Parameters):
    """One zip archive and the addresses that serve it."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9_-][A-Za-z0-9_.-]*\.zip$", description="A plain file name in .zip."
    )
    checksum: Annotated[str, AfterValidator(_checksum)] | None = Field(
        description="`md5:…` or `sha256:…` in hex, or null for trust on first use."
    )
    mirrors: Annotated[
        tuple[str, ...], BeforeValidator(_one_or_more), AfterValidator(_http), Field(min_length=1)
    ] = Field(description="Addresses that serve the same bytes, tried in this order.")


def _named_once(archives: tuple[RemoteArchive, ...]) -> tuple[RemoteArchive, ...]:
    if len({archive.name for archive in archives}) != len(archives):
        raise ValueError("wanted each name once")
    return archives


class DownloadConfig(Parameters, block="download"):
    """Which corpora are downloaded, from where, and how patiently."""

    study: Text = Field(description="The study whose raw folder is filled; `sample` is refused.")
    corpora: Annotated[Names, choices(*CORPORA)] = Field(description="Which corpora to download.")
    flickr8k_archives: Annotated[
        tuple[RemoteArchive, ...],
        BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value),
        AfterValidator(_named_once),
        Field(min_length=1),
    ] = Field(description="The archives that together make Flickr8k.")
    flickr8k_licence: Text = Field(description="Shown before anything of Flickr8k is downloaded.")
    flickr8k_page: Text = Field(description="Where to read about it and get it by hand.")
    sports_competition: str = Field(
        pattern=r"^[a-z0-9][a-z0-9-]*$", description="The Kaggle competition's name in its address."
    )
    sports_licence: Text = Field(description="Shown before anything of Sports is downloaded.")
    attempts: int = Field(ge=1, le=100, description="Tries of a mirror before the next one.")
    backoff_s: float = Field(ge=0, le=30, description="Seconds before the second try.")
    timeout_s: float = Field(ge=0.1, le=3600, description="Seconds that a server may stay silent.")
    keep_archives: bool = Field(description="Keep the zips in `downloads/` once unpacked.")
