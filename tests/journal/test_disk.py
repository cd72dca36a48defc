from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.io.state import DiskJournal, Journal, replacing_folder, write_atomically

ARRAYS = {
    "w": np.arange(6, dtype=np.float32).reshape(2, 3),
    "n": np.array([1], np.int64),
    "turned": np.arange(6).reshape(2, 3).T,
    "alone": np.array(2.5),
}


@pytest.mark.parametrize("kind", ["memory", "disk"])
def test_state_comes_back_under_its_key_and_fingerprint_alone(kind: str, tmp_path: Path) -> None:
    journal = Journal() if kind == "memory" else DiskJournal(tmp_path)
    journal.save_state("arms/a/0.01", "f", ARRAYS, {"epoch": 3})
    arrays, meta = journal.load_state("arms/a/0.01", "f")
    assert meta == {"epoch": 3}
    for name, value in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], value)
        assert arrays[name].shape == value.shape, "numbers without a dimension keep none"
    assert journal.load_state("arms/a/0.01", "other") is None
    assert journal.load_state("arms/a/0.02", "f") is None
    journal.drop_state("arms/a/0.01")
    journal.drop_state("arms/a/0.01")
    assert journal.load_state("arms/a/0.01", "f") is None


@pytest.mark.parametrize("how", ["cut", "flipped", "emptied"])
def test_a_damaged_state_warns_and_counts_as_absent(how: str, tmp_path: Path) -> None:
    journal = DiskJournal(tmp_path)
    journal.save_state("k", "f", ARRAYS)
    path = tmp_path / "k.safetensors"
    content = path.read_bytes()
    last = bytes([content[-1] ^ 1])
    damaged = {"cut": content[:-4], "flipped": content[:-1] + last, "emptied": b""}
    path.write_bytes(damaged[how])
    with pytest.warns(UserWarning, match=r"k\.safetensors: damaged state"):
        assert journal.load_state("k", "f") is None
    journal.save_state("k", "f", ARRAYS)
    assert journal.load_state("k", "f") is not None


def test_where_the_last_state_is_damaged_the_one_before_it_is_used(tmp_path: Path) -> None:
    journal = DiskJournal(tmp_path)
    for number in range(3):
        journal.save_state("a/b", "f", {"x": np.full(3, number)}, {"n": number}, keep_former=True)
    assert len(list((tmp_path / "a").iterdir())) == 2  # older ones are gone
    path = tmp_path / "a/b.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.warns(UserWarning, match=r"b.safetensors: damaged state.*one before it is used"):
        kept = journal.load_state("a/b", "f")
    assert kept is not None
    assert kept[1] == {"n": 1}
    path.unlink()  # a kill between the two steps of keeping
    kept = journal.load_state("a/b", "f")
    assert kept is not None
    assert kept[0]["x"].tolist() == [1, 1, 1]
    assert journal.load_state("a/b", "another") is None
    journal.drop_state("a/b")
    assert journal.load_state("a/b", "f") is None


@pytest.mark.parametrize("key", ["../k", "/k", "a//b", "", "a b"])
def test_keys_that_leave_the_folder_are_refused(key: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a state key is"):
        DiskJournal(tmp_path).save_state(key, "f")


def test_a_failed_write_leaves_the_old_file_and_no_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(UserFacingError, match="file: No space left on device"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_workspace_stays_with_its_fingerprint_and_is_emptied_by_another(tmp_path: Path) -> None:
    place = DiskJournal(tmp_path).workspace("shards", "f")
    (place / "work").write_text("half")
    assert DiskJournal(tmp_path).workspace("shards", "f") == place
    assert (place / "work").read_text() == "half"
    assert DiskJournal(tmp_path).workspace("shards", "g") == place
    assert not (place / "work").exists()


def test_a_folder_is_replaced_whole_and_keeps_its_old_form_on_failure(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    with replacing_folder(folder) as partial:
        (partial / "a").write_text("1")
    with pytest.raises(RuntimeError, match="half way"), replacing_folder(folder) as partial:
        (partial / "b").write_text("2")
        raise RuntimeError("half way")
    assert [(p.name, p.read_text()) for p in folder.iterdir()] == [("a", "1")]
    with replacing_folder(folder) as partial:
        (partial / "b").write_text("2")
    assert [p.name for p in folder.iterdir()] == ["b"]
    assert list(tmp_path.iterdir()) == [folder]
