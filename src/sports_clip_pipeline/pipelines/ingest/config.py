"""Parameter block `ingest`: how corpora are read, checked, stored, deduplicated and split."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from sports_clip_pipeline.data.rules import ArchiveLimits, ImageRules, LabelledForm
from sports_clip_pipeline.machine import cores
from sports_clip_pipeline.parameters import Parameters, Seed


class IngestConfig(Parameters):
    """Readers, image rules, near-duplicate grouping and split sizes."""

    block: ClassVar[str] = "ingest"

    labelled: LabelledForm = Field(LabelledForm(), description="Form of the labelled corpus.")
    image_rules: ImageRules = Field(ImageRules(), description="Usable images and their storage.")
    limits: ArchiveLimits = Field(ArchiveLimits(), description="Limits of an archive.")
    max_quarantine_share: float = Field(
        0.05, ge=0, le=1, description="The run stops when more than this share is unreadable."
    )
    shard_images: int = Field(
        512, ge=1, le=65_536, description="Images a shard of the store; the unit of resumption."
    )
    workers: int = Field(0, ge=0, le=256, description="Decoding processes; 0: one for each core.")
    near_bits: int = Field(
        2, ge=0, le=4, description="Near duplicates: largest Hamming distance of difference hashes."
    )
    near_grey_levels: float = Field(
        8.0, ge=0, le=255, description="Near duplicates: largest mean difference of thumbnails."
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
