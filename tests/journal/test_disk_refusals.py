from __future__ import annotations

import errno
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch

from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.io.state import (
    DiskJournal,
    naming_file,
    refusal_of,
    replacing_folder,
    write_atomically,
)

LIMIT = 4096
LARGE = b"x" * (LIMIT + 1)


@contextmanager
def small_files() -> Iterator[None]:
    """The kernel refuses to write beyond `LIMIT` bytes of a file: EFBIG, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def fill_with(write: Callable[[Path], object]) -> Callable[[Path], None]:
    def fill(place: Path) -> None:
        with replacing_folder(place) as partial:
            write(partial / "large")

    return fill


ARRAYS = {"a": np.zeros(LIMIT, np.float32)}
WRITERS: dict[str, Callable[[Path], object]] = {
    "bytes": lambda place: write_atomically(place, LARGE),
    "folder": fill_with(lambda file: file.write_bytes(LARGE)),
    "safetensors": fill_with(lambda file: safetensors.numpy.save_file(ARRAYS, file)),
    "torch": fill_with(
        lambda file: safetensors.torch.save_file({"a": torch.zeros(LIMIT)}, str(file))
    ),
}


@pytest.mark.parametrize("writer", WRITERS.values(), ids=WRITERS)
def test_whoever_writes_the_file_is_named_and_nothing_is_left(
    writer: Callable[[Path], object], tmp_path: Path
) -> None:
    place = tmp_path / "model"
    with pytest.raises(UserFacingError) as refused, small_files():
        writer(place)
    line = str(refused.value)
    assert line.startswith(f"{place}: File too large; raise the largest allowed file")
    assert line.endswith("then run again: what was finished is kept")
    assert list(tmp_path.iterdir()) == []


def test_what_stood_there_before_a_refusal_still_stands(tmp_path: Path) -> None:
    journal = DiskJournal(tmp_path)
    journal.save_state("arm", "f", {"w": np.arange(3)}, {"epoch": 1})
    with pytest.raises(UserFacingError, match=r"arm\.safetensors: File too large"), small_files():
        journal.save_state("arm", "f", ARRAYS, {"epoch": 2})
    kept = journal.load_state("arm", "f")
    assert kept is not None
    assert kept[1] == {"epoch": 1}


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "free some space, then run again"),
        (errno.EDQUOT, "free some space, then run again"),
        (errno.EROFS, "mount the disk for writing"),
        (errno.EACCES, "give this user the right to write there"),
        (errno.EIO, "check the disk"),
        (errno.ENOTDIR, "mend the path"),
    ],
)
def test_each_refusal_has_its_remedy(number: int, remedy: str, tmp_path: Path) -> None:
    assert remedy in str(refusal_of(OSError(number, "No"), tmp_path / "file"))


def test_a_full_disk_tells_its_room(tmp_path: Path) -> None:
    said = refusal_of(OSError(errno.ENOSPC, "No space left on device"), tmp_path / "new" / "file")
    assert said.what.startswith("No space left on device (")
    assert said.what.endswith(" MB are free)")


def test_a_refusal_is_found_behind_the_errors_of_libraries(tmp_path: Path) -> None:
    with pytest.raises(UserFacingError, match="a: No space left"), naming_file(tmp_path / "a"):
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError as error:
            raise ValueError("Failed while saving data") from error


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(errno.ENOENT, "No such file", "/somewhere/else"),
        PermissionError(errno.EACCES, "Permission denied", "/somewhere/else"),
        FileNotFoundError(errno.ENOENT, "No such file"),
        ValueError("no disk here"),
        UserFacingError("here", "is wrong", "mend it"),
    ],
)
def test_other_errors_go_their_way(error: Exception, tmp_path: Path) -> None:
    with pytest.raises(type(error)) as raised, naming_file(tmp_path / "a"):
        raise error
    assert raised.value is error
