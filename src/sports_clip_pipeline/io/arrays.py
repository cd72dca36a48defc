"""Kedro datasets of named NumPy arrays in one safetensors file, optionally memory-mapped."""

import filecmp
import math
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from kedro.io import DatasetError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save_file

from sports_clip_pipeline.encoders.features import release_pages
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.io.files import PathDataset
from sports_clip_pipeline.io.state import replacing_file


class Arrays(PathDataset):
    """A dictionary of arrays in one safetensors file.

    Args:
        mapped: load read-only memory-mapped arrays.
        more: arguments of the base class.
    """

    def __init__(self, *, mapped: bool = False, **more: Any) -> None:
        super().__init__(**more)
        self._mapped = mapped

    def load(self) -> dict[str, np.ndarray]:
        """The arrays. Raises: DatasetError: the file is missing or damaged."""
        try:
            return _map_file(self._filepath) if self._mapped else load_file(self._filepath)
        except (SafetensorError, OSError) as error:
            raise DatasetError(f"{self._filepath}: cannot be read ({error})") from error

    def save(self, data: dict[str, np.ndarray]) -> None:
        """Save atomically; memory-mapped arrays are not read into memory as a whole.

        Raises: UserFacingError: the file cannot be written.
        """
        with replacing_file(self._filepath) as partial:
            partial.touch()
            mode = partial.stat().st_mode  # safetensors makes files that only the owner may read
            save_file({n: np.asarray(value, order="C") for n, value in data.items()}, partial)
            partial.chmod(mode)
            with partial.open("rb") as file:
                os.fsync(file.fileno())
        for value in data.values():
            release_pages(value)


class LinkedArrays(Arrays):
    """Arrays that are often equal to those of another file: then a hard link to it.

    Each file is replaced by renaming, which leaves the other unchanged.

    Args:
        source: the other file.
        more: arguments of the base class.
    """

    def __init__(self, *, source: str, **more: Any) -> None:
        super().__init__(**more)
        self._source = Path(source)

    def save(self, data: dict[str, np.ndarray]) -> None:
        """Save the arrays, then replace the file by a hard link if both files are equal."""
        super().save(data)
        if self._source.is_file() and filecmp.cmp(self._source, self._filepath, shallow=False):
            # A file system without hard links raises an error: then the copy stays.
            with suppress(UserFacingError), replacing_file(self._filepath) as partial:
                partial.hardlink_to(self._source)


def _map_file(path: Path) -> dict[str, np.ndarray]:
    """Read-only memory maps of a safetensors file's arrays, which are contiguous at its end."""
    arrays: dict[str, np.ndarray] = {}
    with safe_open(path, framework="numpy") as file:
        end = path.stat().st_size
        for name in reversed(file.offset_keys()):
            view = file.get_slice(name)
            shape = tuple(view.get_shape())
            if math.prod(shape) == 0 or not shape:
                arrays[name] = file.get_tensor(name)
            else:
                dtype = view[:1].dtype
                begin = end - math.prod(shape) * dtype.itemsize
                arrays[name] = np.memmap(path, dtype, "r", begin, shape)
            end -= arrays[name].nbytes
    return arrays
