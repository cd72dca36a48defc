import errno
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.io.state import RunState, replacing_folder, write_atomically, write_errors

ARRAYS = {
    "w": np.arange(6, dtype=np.float32).reshape(2, 3),
    "n": np.array([1], np.int64),
    "transposed": np.arange(6).reshape(2, 3).T,
    "scalar": np.array(2.5),
}


@pytest.mark.parametrize("on_disk", [False, True])
def test_state_is_loaded_by_key_and_fingerprint_only(on_disk: bool, tmp_path: Path) -> None:
    state = RunState(tmp_path if on_disk else None)
    state.save_state("trials/a/0.01", "f", ARRAYS, {"epoch": 3})
    arrays, meta = state.load_state("trials/a/0.01", "f")
    assert meta == {"epoch": 3}
    for name, value in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], value)
        assert arrays[name].shape == value.shape
    assert state.load_state("trials/a/0.01", "other") is None
    assert state.load_state("trials/a/0.02", "f") is None
    state.delete_state("trials/a/0.01")
    state.delete_state("trials/a/0.01")
    assert state.load_state("trials/a/0.01", "f") is None


def test_read_only_run_state_loads_and_saves_nothing(tmp_path: Path) -> None:
    RunState(tmp_path).save_state("k", "f", meta={"n": 1})
    reader = RunState(tmp_path, read_only=True)
    reader.save_state("k", "f", meta={"n": 2})
    assert reader.load_state("k", "f") == ({}, {"n": 1})


def flip_last_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [
        flip_last_bit,
        lambda path: path.write_bytes(path.read_bytes()[:-4]),
        lambda path: path.write_bytes(b""),
    ],
    ids=["flipped", "cut", "empty"],
)
def test_damaged_state_warns_and_counts_as_absent(
    damage: Callable[[Path], object], tmp_path: Path
) -> None:
    state = RunState(tmp_path)
    state.save_state("k", "f", ARRAYS)
    damage(tmp_path / "k.safetensors")
    with pytest.warns(UserWarning, match=r"k\.safetensors: damaged state"):
        assert state.load_state("k", "f") is None
    state.save_state("k", "f", ARRAYS)
    assert state.load_state("k", "f") is not None


def test_previous_state_is_loaded_if_the_last_one_is_damaged_or_missing(tmp_path: Path) -> None:
    state = RunState(tmp_path)
    for number in range(3):
        state.save_state("a/b", "f", {"x": np.full(3, number)}, {"n": number}, keep_previous=True)
    assert len(list((tmp_path / "a").iterdir())) == 2  # older ones are gone
    flip_last_bit(tmp_path / "a/b.safetensors")
    with pytest.warns(UserWarning, match=r"b.safetensors: damaged state.*previous one is used"):
        assert state.load_state("a/b", "f")[1] == {"n": 1}
    (tmp_path / "a/b.safetensors").unlink()  # a kill between the two renames
    assert state.load_state("a/b", "f")[0]["x"].tolist() == [1, 1, 1]
    assert state.load_state("a/b", "another") is None
    state.delete_state("a/b")
    assert state.load_state("a/b", "f") is None


@pytest.mark.parametrize("key", ["../k", "/k", "a//b", "", "a b"])
def test_keys_outside_the_folder_are_refused(key: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a state key is"):
        RunState(tmp_path).save_state(key, "f")


def test_workspace_persists_until_its_fingerprint_changes(tmp_path: Path) -> None:
    folder = RunState(tmp_path).workspace("shards", "f")
    (folder / "work").write_text("half")
    assert RunState(tmp_path).workspace("shards", "f") == folder
    assert (folder / "work").read_text() == "half"
    assert RunState(tmp_path).workspace("shards", "g") == folder
    assert not (folder / "work").exists()


def test_folder_is_replaced_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
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


LIMIT = 4096
LARGE = {"a": np.zeros(LIMIT, np.float32)}


@contextmanager
def file_size_limit() -> Iterator[None]:
    """Make writes beyond `LIMIT` bytes fail with EFBIG, like a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def save_folder(path: Path) -> None:
    with replacing_folder(path) as partial:
        safetensors.numpy.save_file(LARGE, partial / "large")


@pytest.mark.parametrize(
    "write",
    [
        lambda path: write_atomically(path, LARGE["a"].tobytes()),
        lambda path: RunState(path.parent).save_state("model", "f", LARGE),
        save_folder,
    ],
    ids=["bytes", "state", "folder"],
)
def test_failing_disk_names_the_file_and_leaves_the_old_one(
    write: Callable[[Path], object], tmp_path: Path
) -> None:
    RunState(tmp_path).save_state("model", "f", meta={"epoch": 1})
    with pytest.raises(UserFacingError, match="free space") as refused, file_size_limit():
        write(tmp_path / "model")
    assert str(refused.value).startswith(f"{tmp_path / 'model'}")
    assert "File too large" in str(refused.value)
    assert RunState(tmp_path).load_state("model", "f") == ({}, {"epoch": 1})
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]


def test_io_errors_wrapped_by_a_library_are_converted(tmp_path: Path) -> None:
    with pytest.raises(UserFacingError, match="a: No space left"), write_errors(tmp_path / "a"):
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError as error:
            raise ValueError("Failed while saving data") from error


@pytest.mark.parametrize("error", [ValueError("other"), UserFacingError("x", "is bad", "fix it")])
def test_other_errors_are_not_converted(error: Exception, tmp_path: Path) -> None:
    with pytest.raises(type(error)) as raised, write_errors(tmp_path / "a"):
        raise error
    assert raised.value is error
