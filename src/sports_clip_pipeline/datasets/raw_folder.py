"""The folder of raw corpora, handed to the one node that fills it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

from kedro.io import DatasetError

from sports_clip_pipeline.datasets.place import PlacedDataset


class RawFolderDataset(PlacedDataset[Any, Any]):
    """The raw folder as a `pathlib.Path`; it need not exist yet.

    Example:
        >>> RawFolderDataset(filepath="data/01_raw/real").load().name
        'real'
    """

    def load(self) -> Path:
        """The folder's path."""
        return self._filepath

    def save(self, data: Any) -> NoReturn:
        """Refuse: raw corpora are placed by `download` or by hand."""
        raise DatasetError(f"{self._filepath}: the raw folder is never saved by Kedro")

    def _exists(self) -> bool:
        return True
