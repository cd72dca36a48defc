"""Named NumPy arrays in one safetensors file: no pickle."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
from kedro.io import DatasetError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save_file

from sports_clip_pipeline.encoders.feature_store import release_pages
from sports_clip_pipeline.io.base import PlacedDataset
from sports_clip_pipeline.io.state import naming_file, replacing_file

_ROWS_AT_ONCE = 1024


class Arrays(PlacedDataset[dict[str, np.ndarray], dict[str, np.ndarray]]):
    """A dictionary of arrays.

    Args:
        mapped: load the arrays read-only, each of its numbers read when it is asked for.

    Example:
        >>> Arrays(filepath="features.safetensors").save({"features": np.zeros((2, 3))})
    """

    def __init__(
        self, *, filepath: str, mapped: bool = False, metadata: dict[str, Any] | None = None
    ) -> None:
        super().__init__(filepath=filepath, metadata=metadata)
        self._mapped = mapped

    def load(self) -> dict[str, np.ndarray]:
        """The arrays. Raises: DatasetError: no whole safetensors file stands there."""
        try:
            return _mapped(self._filepath) if self._mapped else load_file(self._filepath)
        except (SafetensorError, OSError) as error:
            raise DatasetError(f"{self._filepath}: cannot be read ({error})") from error

    def save(self, data: dict[str, np.ndarray]) -> None:
        """Write all arrays, whole or not at all."""
        with naming_file(self._filepath), replacing_file(self._filepath) as partial:
            _write(partial, data)

    def _exists(self) -> bool:
        return self._filepath.is_file()


class LinkedArrays(Arrays):
    """Arrays that are often those of another file, byte for byte: then a link to it, not a copy.

    Both files stand on their own: each is replaced by renaming, which leaves the other as it was.

    Args:
        source: the other file.
    """

    def __init__(
        self, *, filepath: str, source: str, metadata: dict[str, Any] | None = None
    ) -> None:
        super().__init__(filepath=filepath, metadata=metadata)
        self._source = Path(source)

    def save(self, data: dict[str, np.ndarray]) -> None:
        """Link the source where it holds these arrays, else write them; whole or not at all."""
        if not (_holds(self._source, data) and self._linked()):
            super().save(data)

    def _linked(self) -> bool:
        """Whether the file is a link to its source now; some disks have no links."""
        try:
            with replacing_file(self._filepath) as partial:
                partial.hardlink_to(self._source)
        except OSError:
            return False
        return True

    def _describe(self) -> dict[str, Any]:
        return {**super()._describe(), "source": str(self._source)}


def _write(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write a new file through to the disk; arrays that are mapped files are not read whole."""
    path.touch()
    mode = path.stat().st_mode  # safetensors' own file would be its owner's alone
    save_file({name: np.asarray(value, order="C") for name, value in arrays.items()}, path)
    path.chmod(mode)
    with path.open("rb") as file:
        os.fsync(file.fileno())
    for value in arrays.values():
        release_pages(value)


def _holds(path: Path, arrays: dict[str, np.ndarray]) -> bool:
    """Whether a file has these arrays and no others, byte for byte."""
    try:
        kept = _mapped(path)
    except (SafetensorError, OSError):
        return False
    return kept.keys() == arrays.keys() and all(_same(kept[n], arrays[n]) for n in arrays)


def _same(kept: np.ndarray, given: np.ndarray) -> bool:
    if (kept.dtype, kept.shape) != (given.dtype, given.shape):
        return False
    first, second = np.atleast_1d(kept), np.atleast_1d(given)
    for start in range(0, len(first), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        if first[rows].tobytes() != second[rows].tobytes():
            return False
        release_pages(kept)
        release_pages(given)
    return True


def _mapped(path: Path) -> dict[str, np.ndarray]:
    """The file's arrays, which stand one after the other at its end."""
    arrays: dict[str, np.ndarray] = {}
    with safe_open(path, framework="numpy") as file:
        end = path.stat().st_size
        for name in reversed(file.offset_keys()):
            piece = file.get_slice(name)
            shape = tuple(piece.get_shape())
            if math.prod(shape) == 0 or not shape:
                arrays[name] = file.get_tensor(name)
            else:
                dtype = piece[:1].dtype
                begin = end - math.prod(shape) * dtype.itemsize
                arrays[name] = np.memmap(path, dtype, "r", begin, shape)
            end -= arrays[name].nbytes
    return arrays
