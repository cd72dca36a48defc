"""Feature cache addressed by content, memory-mapped feature rows, concatenated encoders."""

from __future__ import annotations

import errno
import hashlib
import json
import mmap
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save

from sports_clip_pipeline import machine
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.io.state import write_atomically, write_errors

_KEYS = "keys"
_ROWS_AT_ONCE = 1024


class FeatureCache:
    """A folder of feature spaces, shared by all studies; safe to delete at any time."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)

    def space(self, description: dict[str, Any]) -> FeatureSpace:
        """The space for one encoder, its weights, view and resolution.

        Args:
            description: JSON-like; every value that changes the features stands in it.
        """
        text = json.dumps(description, sort_keys=True)
        folder = self.root / hashlib.sha256(text.encode()).hexdigest()[:16]
        if not (folder / "space.json").exists():
            write_atomically(folder / "space.json", text.encode())
        return FeatureSpace(folder)


class FeatureSpace:
    """Blocks of rows, each addressed by a 32-byte key.

    A block is one safetensors file, named by its content's keys and renamed into place, so a
    killed run loses at most the block at hand; an unreadable block is deleted and made again.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._where: dict[bytes, tuple[str, int]] = {}
        self.reread()

    def __len__(self) -> int:
        return len(self._where)

    def missing(self, keys: list[bytes]) -> list[int]:
        """Positions in `keys` that are not kept; of equal keys the first position alone."""
        seen: set[bytes] = set()
        positions = []
        for position, key in enumerate(keys):
            if key not in self._where and key not in seen:
                seen.add(key)
                positions.append(position)
        return positions

    def reread(self) -> None:
        """Learn of the blocks that other processes have put there."""
        known = {file for file, _ in self._where.values()}
        for path in sorted(self.folder.glob("*.safetensors")):
            if path.name not in known:
                self._index(path)

    def append(self, keys: list[bytes], arrays: dict[str, np.ndarray]) -> None:
        """Keep one block: row i of every array belongs to `keys[i]`.

        Raises: ValueError: an array has another number of rows.
        """
        for name, value in arrays.items():
            if len(value) != len(keys):
                raise ValueError(f"{name} has {len(value)} rows for {len(keys)} keys")
        block = np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(len(keys), 32)
        path = self.folder / f"{hashlib.sha256(block.tobytes()).hexdigest()[:16]}.safetensors"
        write_atomically(path, save({_KEYS: block, **arrays}))
        self._index(path)

    def gather(self, keys: list[bytes], wanted: Sequence[str] = ()) -> dict[str, np.ndarray]:
        """Arrays with one row a key, in the order of `keys`, in scratch files.

        Args:
            wanted: names of the arrays; all of them by default.
        Raises: KeyError: a key is not kept.
        """
        gathered: dict[str, np.ndarray] = {}
        for positions, arrays in self.blocks(keys):
            for name, value in arrays.items():
                if not wanted or name in wanted:
                    _put(gathered, name, positions, value, len(keys), self.folder)
        return gathered

    def blocks(self, keys: list[bytes]) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
        """The rows of `keys`, as many at once as a file holds, with their positions in `keys`.

        Raises: KeyError: a key is not kept.
        """
        by_file: dict[str, list[tuple[int, int]]] = {}
        for position, key in enumerate(keys):
            file, row = self._where[key]
            by_file.setdefault(file, []).append((position, row))
        for file, pairs in by_file.items():
            positions, rows = np.array(pairs).T
            arrays = load_file(self.folder / file)
            yield positions, {n: value[rows] for n, value in arrays.items() if n != _KEYS}

    def _index(self, path: Path) -> None:
        try:
            with safe_open(path, framework="numpy") as file:
                keys = file.get_tensor(_KEYS)
        except SafetensorError:
            path.unlink(missing_ok=True)
            return
        for row, key in enumerate(keys):
            self._where[key.tobytes()] = (path.name, row)


def mean_of_spaces(spaces: Sequence[FeatureSpace], keys: list[bytes]) -> dict[str, np.ndarray]:
    """Means of what several spaces hold, one row a key, of the kept type, in scratch files.

    Raises: KeyError: a key is not kept.
    """
    if len(spaces) == 1:
        return spaces[0].gather(keys)
    total: dict[str, np.ndarray] = {}
    kept: dict[str, np.dtype] = {}
    for number, space in enumerate(spaces):
        for positions, arrays in space.blocks(keys):
            for name, value in arrays.items():
                share = value.astype(np.float32) / len(spaces)
                if number:
                    share = total[name][positions] + share
                _put(total, name, positions, share, len(keys), space.folder)
                kept[name] = value.dtype
    return {name: _as_type(kept[name], value, spaces[0].folder) for name, value in total.items()}


def _put(
    gathered: dict[str, np.ndarray],
    name: str,
    positions: np.ndarray,
    value: np.ndarray,
    count: int,
    folder: Path,
) -> None:
    """Write rows of a scratch file of `count` rows, which is made with the first ones."""
    if name not in gathered:
        gathered[name] = scratch_array(folder, (count, *value.shape[1:]), value.dtype)
    gathered[name][positions] = value
    release_pages(gathered[name])


def _as_type(dtype: np.dtype, values: np.ndarray, folder: Path) -> np.ndarray:
    """The values in another type, in a scratch file; as they are where they have it."""
    if values.dtype == dtype:
        return values
    cast = scratch_array(folder, values.shape, dtype)
    for start in range(0, len(values), _ROWS_AT_ONCE):
        cast[start : start + _ROWS_AT_ONCE] = values[start : start + _ROWS_AT_ONCE]
        release_pages(values)
        release_pages(cast)
    return cast


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
            machine.advise_access(mapped, at_random)
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
    with write_errors(folder), TemporaryFile(dir=folder) as file:
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


COMPANION = "companion."


def additional_key(encoder: str) -> str:
    """Name of an additional encoder's features among the arrays of a corpus."""
    return COMPANION + encoder


def concat_features(
    arrays: Mapping[str, np.ndarray], additional_encoders: Sequence[str] | None = None
) -> tuple[np.ndarray, tuple[int, ...]]:
    """Concatenate the features of all encoders column-wise.

    Args:
        arrays: of one corpus: `features` (N, D₀), and `companion.<encoder>` (N, Dₖ).
        additional_encoders: those to take, in this order; None takes all, by name.
    Returns: (N, ΣD) float32, the first encoder's columns first, and each encoder's width. For
        `features` (2, 3) and `companion.lite0` (2, 4): (2, 7) and (3, 4).

    Raises:
        UserFacingError: an additional encoder has no features.
        ValueError: encoders have different numbers of rows.
    """
    stored = sorted(key for key in arrays if key.startswith(COMPANION))
    if additional_encoders is None:
        additional_encoders = [key.removeprefix(COMPANION) for key in stored]
    for encoder in additional_encoders:
        if additional_key(encoder) not in arrays:
            raise UserFacingError(
                f"features of the additional encoder {encoder}",
                f"are not there (additional_encoders: {', '.join(stored) or 'none'})",
                f"add {encoder} to embed.additional_encoders and run `kedro run --pipelines=embed`",
            )
    blocks = [arrays["features"], *(arrays[additional_key(name)] for name in additional_encoders)]
    if len({len(block) for block in blocks}) > 1:
        rows = ", ".join(str(len(block)) for block in blocks)
        raise ValueError(f"encoders have features of {rows} images, wanted one number")
    widths = tuple(block.shape[1] for block in blocks)
    return np.hstack([block.astype(np.float32, copy=False) for block in blocks]), widths
