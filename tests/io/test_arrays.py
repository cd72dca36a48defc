from pathlib import Path

import numpy as np
import pytest
from kedro.io import DatasetError

from sports_clip_pipeline.io import Arrays, LinkedArrays


def test_arrays_are_equal_and_mapped_ones_read_only(tmp_path: Path) -> None:
    path = tmp_path / "deep/a.safetensors"
    wide = np.arange(12, dtype=np.float16).reshape(3, 4)
    arrays = {
        "wide": wide,
        "turned": wide.T,
        "alone": np.array(7),
        "none": np.zeros((0, 3), np.float32),
        "row": np.arange(5),
    }
    assert not Arrays(filepath=str(path)).exists()
    Arrays(filepath=str(path)).save(arrays)
    (tmp_path / "other").touch()
    assert path.stat().st_mode == (tmp_path / "other").stat().st_mode
    for mapped in (False, True):
        found = Arrays(filepath=str(path), mapped=mapped).load()
        assert found.keys() == arrays.keys()
        for name, value in arrays.items():
            assert found[name].dtype == value.dtype
            np.testing.assert_array_equal(found[name], value)
    assert isinstance(found["wide"], np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        found["row"][0] = 1
    path.write_bytes(path.read_bytes()[:-8])
    for mapped in (False, True):
        with pytest.raises(DatasetError, match=r"a\.safetensors"):
            Arrays(filepath=str(path), mapped=mapped).load()


def test_mapped_arrays_can_be_saved_and_linked(tmp_path: Path) -> None:
    path, source = str(tmp_path / "a.safetensors"), str(tmp_path / "source.safetensors")
    Arrays(filepath=source).save({"a": np.arange(6.0).reshape(2, 3)})
    LinkedArrays(filepath=path, source=source).save(Arrays(filepath=source, mapped=True).load())
    assert Path(path).samefile(source)
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
    dataset.save(arrays)
    source.save({"b": np.ones(3)})
    np.testing.assert_array_equal(dataset.load()["b"], np.zeros(3))
    assert sorted(file.name for file in path.parent.iterdir()) == ["link.safetensors"]


def test_without_a_source_or_without_links_arrays_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, dataset = linked(tmp_path)
    dataset.save({"a": np.zeros(3)})
    np.testing.assert_array_equal(dataset.load()["a"], np.zeros(3))

    def refuse(path: Path, target: Path) -> None:
        raise OSError("no links on this disk")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    source.save({"a": np.ones(3)})
    dataset.save({"a": np.ones(3)})
    np.testing.assert_array_equal(dataset.load()["a"], np.ones(3))
    assert not (tmp_path / "deep/link.safetensors").samefile(tmp_path / "source.safetensors")
