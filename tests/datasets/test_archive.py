from __future__ import annotations

from pathlib import Path

import pytest
from kedro.io import DatasetError

from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.io import ArchiveDataset
from tests.data.making import unpacked, zipped


def test_either_form_is_there_and_loads(tmp_path: Path) -> None:
    dataset = ArchiveDataset(filepath=str(tmp_path / "corpus"))
    assert not dataset.exists()
    unpacked(tmp_path / "corpus", {"a": b"1"})
    assert dataset.exists()
    assert dataset.load().read("a") == b"1"
    zipped(tmp_path / "corpus", {"a": b"2"})
    assert dataset.load().read("a") == b"2"


def test_a_missing_archive_speaks_through_kedro(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="make data") as raised:
        ArchiveDataset(filepath=str(tmp_path / "flickr8k")).load()
    assert isinstance(raised.value.__cause__, UserFacingError)


def test_raw_data_are_never_written(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="never written"):
        ArchiveDataset(filepath=str(tmp_path / "flickr8k")).save(1)
