from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from kedro.io import DatasetError

from sports_clip_pipeline.io import Arrays, LinkedArrays


def test_arrays_come_back_with_type_and_shape(tmp_path: Path) -> None:
    dataset = Arrays(filepath=str(tmp_path / "deep/a.safetensors"))
    assert not dataset.exists()
    wide = np.arange(6, dtype=np.float16).reshape(2, 3)
    dataset.save({"turned": wide.T, "row": np.array([1, 2])})
    found = dataset.load()
    np.testing.assert_array_equal(found["turned"], wide.T)
    assert found["turned"].dtype == np.float16
    assert found["row"].dtype == np.int64


def test_a_file_has_the_rights_that_new_files_have(tmp_path: Path) -> None:
    Arrays(filepath=str(tmp_path / "a.safetensors")).save({"a": np.zeros(3)})
    (tmp_path / "other").touch()
    assert (tmp_path / "a.safetensors").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_half_a_file_is_refused(tmp_path: Path) -> None:
    dataset = Arrays(filepath=str(tmp_path / "a.safetensors"))
    dataset.save({"a": np.zeros(9)})
    path = tmp_path / "a.safetensors"
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(DatasetError, match=r"a\.safetensors"):
        dataset.load()


def test_mapped_arrays_are_the_same_and_cannot_be_written(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    arrays = {
        "wide": np.arange(12, dtype=np.float16).reshape(3, 4),
        "alone": np.array(7),
        "none": np.zeros((0, 3), np.float32),
        "row": np.arange(5),
    }
    Arrays(filepath=str(path)).save(arrays)
    found = Arrays(filepath=str(path), mapped=True).load()
    assert found.keys() == arrays.keys()
    for name, value in arrays.items():
        assert found[name].dtype == value.dtype
        np.testing.assert_array_equal(found[name], value)
    assert isinstance(found["wide"], np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        found["row"][0] = 1
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(DatasetError, match=r"a\.safetensors"):
        Arrays(filepath=str(path), mapped=True).load()


def test_what_is_mapped_is_written_again_and_linked(tmp_path: Path) -> None:
    place, source = str(tmp_path / "a.safetensors"), str(tmp_path / "source.safetensors")
    Arrays(filepath=source).save({"a": np.arange(6.0).reshape(2, 3)})
    LinkedArrays(filepath=place, source=source).save(Arrays(filepath=source, mapped=True).load())
    assert Path(place).samefile(source)
    Arrays(filepath=source).save(Arrays(filepath=source, mapped=True).load())
    np.testing.assert_array_equal(Arrays(filepath=source).load()["a"], [[0, 1, 2], [3, 4, 5]])


def linked(folder: Path) -> tuple[Arrays, LinkedArrays]:
    source = folder / "source.safetensors"
    link = folder / "deep/link.safetensors"
    return Arrays(filepath=str(source)), LinkedArrays(filepath=str(link), source=str(source))


def test_equal_arrays_are_linked_and_others_written(tmp_path: Path) -> None:
    source, dataset = linked(tmp_path)
    arrays = {"b": np.zeros(3), "a": np.ones((2, 2), np.float32)}
    source.save(arrays)
    path = tmp_path / "deep/link.safetensors"
    for _ in range(2):
        dataset.save(source.load())
        assert path.samefile(tmp_path / "source.safetensors")
    dataset.save({**arrays, "b": np.ones(3)})
    assert not path.samefile(tmp_path / "source.safetensors")
    np.testing.assert_array_equal(dataset.load()["b"], np.ones(3))
    np.testing.assert_array_equal(source.load()["b"], np.zeros(3))
    assert sorted(file.name for file in path.parent.iterdir()) == ["link.safetensors"]


def test_a_difference_behind_the_first_rows_is_seen(tmp_path: Path) -> None:
    source, dataset = linked(tmp_path)
    rows = np.arange(5000.0)
    source.save({"a": rows})
    dataset.save({"a": np.where(rows == 4999.0, -1.0, rows)})
    assert not (tmp_path / "deep/link.safetensors").samefile(tmp_path / "source.safetensors")
    assert dataset.load()["a"][-1] == -1.0


def test_a_link_keeps_its_arrays_when_the_source_is_saved_anew(tmp_path: Path) -> None:
    source, dataset = linked(tmp_path)
    source.save({"a": np.zeros(3)})
    dataset.save({"a": np.zeros(3)})
    source.save({"a": np.ones(3)})
    np.testing.assert_array_equal(dataset.load()["a"], np.zeros(3))


def test_without_a_source_or_without_links_arrays_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, dataset = linked(tmp_path)
    dataset.save({"a": np.zeros(3)})
    np.testing.assert_array_equal(dataset.load()["a"], np.zeros(3))

    def refuses(path: Path, target: Path) -> None:
        raise OSError("no links on this disk")

    monkeypatch.setattr(Path, "hardlink_to", refuses)
    source.save({"a": np.ones(3)})
    dataset.save({"a": np.ones(3)})
    np.testing.assert_array_equal(dataset.load()["a"], np.ones(3))
    assert not (tmp_path / "deep/link.safetensors").samefile(tmp_path / "source.safetensors")
