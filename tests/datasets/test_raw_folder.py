"""The raw folder as a dataset."""

from __future__ import annotations

import pytest
from kedro.io import DatasetError

from sports_clip_pipeline.io import RawFolderDataset


def test_it_hands_over_the_path_whether_or_not_the_folder_is_there(tmp_path):
    dataset = RawFolderDataset(filepath=str(tmp_path / "raw"))
    assert dataset.load() == tmp_path / "raw"
    assert dataset.exists()
    assert not (tmp_path / "raw").exists()


def test_it_refuses_to_save(tmp_path):
    with pytest.raises(DatasetError, match="never saved"):
        RawFolderDataset(filepath=str(tmp_path)).save("x")
