"""Named NumPy arrays in one safetensors file: no pickle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from kedro.io import DatasetError
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from sports_clip_pipeline.datasets.place import PlacedDataset
from sports_clip_pipeline.journal.disk import replacing_file, write_atomically


class Arrays(PlacedDataset[dict[str, np.ndarray], dict[str, np.ndarray]]):
    """A dictionary of arrays.

    Example:
        >>> Arrays(filepath="features.safetensors").save({"features": np.zeros((2, 3))})
    """

    def load(self) -> dict[str, np.ndarray]:
        """The arrays. Raises: DatasetError: no whole safetensors file stands there."""
        try:
            return load_file(self._filepath)
        except (SafetensorError, OSError) as error:
            raise DatasetError(f"{self._filepath}: cannot be read ({error})") from error

    def save(self, data: dict[str, np.ndarray]) -> None:
        """Write all arrays, whole or not at all."""
        write_atomically(self._filepath, _as_bytes(data))

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
        content = _as_bytes(data)
        if not (_holds(self._source, content) and self._linked()):
            write_atomically(self._filepath, content)

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


def _as_bytes(arrays: dict[str, np.ndarray]) -> bytes:
    content: bytes = save({name: np.asarray(value, order="C") for name, value in arrays.items()})
    return content


def _holds(path: Path, content: bytes) -> bool:
    if not path.is_file() or path.stat().st_size != len(content):
        return False
    return path.read_bytes() == content
