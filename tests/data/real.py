"""Where the real archives stand, for tests that read a small part of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sports_clip_pipeline.data.archives import Archive

_PROJECT = Path(__file__).parents[2]


def real_archive(name: str) -> Archive:
    """`name`.zip of the real study; skips the test where it is not there."""
    places = [os.environ.get("SPORTS_CLIP_RAW_DIR"), _PROJECT / "data" / "01_raw" / "real"]
    for place in filter(None, places):
        if Path(place, f"{name}.zip").is_file():
            return Archive.open(Path(place, name))
    pytest.skip(f"{name}.zip is neither in SPORTS_CLIP_RAW_DIR nor in data/01_raw/real")
