from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import yaml

from sports_clip_pipeline.config.ingest import ArchiveLimits, ImageRules, IngestConfig
from sports_clip_pipeline.errors import UserFacingError

BASE = Path(__file__).parents[2] / "conf" / "base" / "parameters_ingest.yml"


def test_the_configuration_names_every_field_and_agrees_with_the_defaults() -> None:
    block = yaml.safe_load(BASE.read_text())["ingest"]
    assert dataclasses.asdict(IngestConfig()) == block
    IngestConfig(**block)


def test_limits_are_in_bytes_and_pixels() -> None:
    config = IngestConfig(max_member_mib=2, max_total_gib=1, max_megapixels=3, max_members=7)
    assert config.limits == ArchiveLimits(7, 2 * 2**20, 2**30, 200.0)
    assert config.image_rules == ImageRules(256, 92, 32, 4.0, 3_000_000)
    assert IngestConfig().limits == ArchiveLimits()
    assert IngestConfig().image_rules == ImageRules()


def test_zero_workers_mean_one_a_core() -> None:
    assert IngestConfig(workers=0).processes >= 1
    assert IngestConfig(workers=3).processes == 3


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("labelled_form", "tree"),
        ("labels_file", "lists/labels.csv"),
        ("labels_file", ""),
        ("image_column", 3),
        ("label_column", " label"),
        ("images_folder", "../images"),
        ("images_folder", "/images"),
        ("images_folder", None),
        ("unlabelled_folder", ".."),
        ("short_side", 16),
        ("short_side", 256.5),
        ("jpeg_quality", 96),
        ("max_aspect", 0.5),
        ("max_quarantine_share", 1.5),
        ("max_quarantine_share", "5%"),
        ("workers", -1),
        ("near_bits", 9),
        ("evaluation_share", 0),
        ("seed", True),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(UserFacingError, match=f"parameter ingest.{field}: wanted .*got"):
        IngestConfig(**{field: value})
