"""Features that may stand on the disk, read by rows, so that memory does not grow with a corpus."""

from __future__ import annotations

import errno
import hashlib
import mmap
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np

from sports_clip_pipeline import machine
from sports_clip_pipeline.journal.disk_refusals import naming_file

_BLOCK = 1 << 20  # numbers read at once where all are


class FeatureRows:
    """Some rows of an array (N, D), in an order of their own.

    Where the array is a mapped file, what was read is given back to the system at once. Pickled,
    it names that file; other arrays take their rows along.

    Args:
        source: (N, D); a `numpy.memmap` is not read before its rows are asked for.
        rows: (M,) int in [0, N); all, as they stand, by default.
    """

    def __init__(self, source: np.ndarray, rows: np.ndarray | None = None) -> None:
        self._source = source
        self._rows = np.arange(len(source)) if rows is None else rows
        self.shape = (len(self._rows), *source.shape[1:])

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: np.ndarray) -> np.ndarray:
        """A copy (B, D) of the rows at `index` (B,), in any order."""
        return self._read(index, at_random=True)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self._read(np.arange(len(self)), at_random=False), dtype)

    def __reduce__(self) -> tuple[Any, ...]:
        source = self._source
        if isinstance(source, np.memmap) and source.filename and isinstance(source.base, mmap.mmap):
            place = source.filename, source.dtype, source.shape, source.offset
            return _rows_of_file, (place, self._rows)
        return FeatureRows, (np.asarray(self),)

    def digest(self) -> str:
        """64 hex digits: the sha256 of type, shape and content."""
        digest = hashlib.sha256(f"{self._source.dtype} {self.shape}".encode())
        for block in self._blocks():
            digest.update(np.ascontiguousarray(block).data)
        return digest.hexdigest()

    def column_means(self) -> np.ndarray:
        """(D,) means over the rows, of the type of the rows."""
        total: np.ndarray | None = None
        for block in self._blocks():
            further = block if total is None else np.concatenate([total[None], block])
            total = np.add.reduce(further, axis=0)
        if total is None:
            raise ValueError("there are no rows to take the mean of")
        return (total / len(self)).astype(total.dtype)

    def standard_deviation(self) -> float:
        """Of all numbers, whatever their column."""
        count = float(np.prod(self.shape))
        mean = self._source.dtype.type(self._total(lambda values: values) / count)
        variance = self._total(lambda values: np.square(values - mean)) / count
        return float(np.sqrt(self._source.dtype.type(variance)))

    def root_mean_square(self) -> float:
        """Of all numbers, whatever their column."""
        mean = self._source.dtype.type(self._total(np.square) / float(np.prod(self.shape)))
        return float(np.sqrt(mean))

    def _read(self, index: np.ndarray, at_random: bool) -> np.ndarray:
        mapped = _mapping_of(self._source)
        if mapped is not None:
            machine.expect_reading(mapped, at_random)
        found: np.ndarray = np.asarray(self._source[self._rows[index]])
        release_pages(self._source)
        return found

    def _blocks(self) -> Iterator[np.ndarray]:
        rows = max(1, _BLOCK // max(1, int(np.prod(self.shape[1:]))))
        for start in range(0, len(self), rows):
            stop = min(start + rows, len(self))
            yield self._read(np.arange(start, stop), at_random=False)

    def _total(self, made_of: Callable[[np.ndarray], np.ndarray]) -> Any:
        """The sum of what is made of each number, added in halves of halves as NumPy does."""

        def between(start: int, stop: int) -> Any:
            if stop - start <= _BLOCK:
                return np.add.reduce(made_of(self._numbers(start, stop)))
            half = (stop - start) // 2
            half -= half % 8
            return between(start, start + half) + between(start + half, stop)

        return between(0, int(np.prod(self.shape)))

    def _numbers(self, start: int, stop: int) -> np.ndarray:
        """Those from `start` to `stop` of all numbers, row after row."""
        width = int(np.prod(self.shape[1:]))
        first, last = start // width, -(-stop // width)
        flat = self._read(np.arange(first, last), at_random=False).reshape(-1)
        return flat[start - first * width : stop - first * width]


def _rows_of_file(place: tuple[Any, ...], rows: np.ndarray) -> FeatureRows:
    name, dtype, shape, offset = place
    return FeatureRows(np.memmap(name, dtype, "r", offset, shape), rows)


def scratch_array(folder: Path, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Zeros in a mapped file without a name, whose room is free again when nobody holds it.

    Args:
        folder: on the disk to use.
    Raises: UserFacingError: the disk has no room for it.
    """
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    if size == 0:
        return np.zeros(shape, dtype)
    with naming_file(folder), TemporaryFile(dir=folder) as file:
        if hasattr(os, "posix_fallocate"):
            # A mapped file that meets a full disk later ends the process without a word.
            _reserve(file.fileno(), size)
        return np.memmap(file, dtype, "w+", shape=shape)


def _reserve(file: int, size: int) -> None:
    try:
        os.posix_fallocate(file, 0, size)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP, errno.ENODEV):
            raise  # those disks cannot reserve


def release_pages(array: np.ndarray) -> None:
    """Give the memory of a mapped array back to the system; of others, do nothing.

    What was written to an array stays: but for copies on write (`c`), which are left alone, it is
    the file's already.
    """
    mapped = _mapping_of(array)
    if mapped is not None:
        machine.release_pages(mapped)


def _mapping_of(array: np.ndarray) -> mmap.mmap | None:
    if not isinstance(array, np.memmap) or array.mode == "c":
        return None
    mapped: mmap.mmap | None = getattr(array, "_mmap", None)
    return mapped
