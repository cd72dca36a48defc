from __future__ import annotations

from pathlib import Path

import pytest
from kedro.io import DatasetError

from sports_clip_pipeline.data.image_store import ImageStore, write_index, write_shard
from sports_clip_pipeline.io import ImageStoreDataset
from tests.data.making import photo


def test_a_store_is_saved_into_its_place_and_loaded_from_there(tmp_path: Path) -> None:
    dataset = ImageStoreDataset(filepath=str(tmp_path / "place"))
    assert not dataset.exists()
    (tmp_path / "work").mkdir()
    shard = write_shard(tmp_path / "work" / "shard-00000.arrow", ["a"], [photo(1)])
    write_index(tmp_path / "work", [{**shard, "dropped": []}])
    dataset.save(ImageStore(tmp_path / "work"))
    assert dataset.exists()
    store = dataset.load()
    assert store.path == tmp_path / "place"
    assert store.get_bytes(0) == photo(1)


def test_a_store_without_its_index_is_not_there(tmp_path: Path) -> None:
    dataset = ImageStoreDataset(filepath=str(tmp_path))
    assert not dataset.exists()
    with pytest.raises(DatasetError, match="run the ingest pipeline"):
        dataset.load()
