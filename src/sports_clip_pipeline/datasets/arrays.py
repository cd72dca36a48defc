"""Named NumPy arrays in one safetensors file: no pickle, memory-mapped on load."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from kedro.io import AbstractDataset, DatasetError
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from sports_clip_pipeline.journal.disk import write_atomically


class Arrays(AbstractDataset[dict[str, np.ndarray], dict[str, np.ndarray]]):
    """A dictionary of arrays.

    Example:
        >>> Arrays(filepath="features.safetensors").save({"features": np.zeros((2, 3))})
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> dict[str, np.ndarray]:
        """The arrays. Raises: DatasetError: no whole safetensors file stands there."""
        try:
            return load_file(self._filepath)
        except (SafetensorError, OSError) as error:
            raise DatasetError(f"{self._filepath}: cannot be read ({error})") from error

    def save(self, data: dict[str, np.ndarray]) -> None:
        """Write all arrays, whole or not at all."""
        write_atomically(
            self._filepath,
            save({name: np.ascontiguousarray(value) for name, value in data.items()}),
        )

    def _exists(self) -> bool:
        return self._filepath.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}
