"""The folder of raw corpora, handed to the one node that fills it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

from kedro.io import AbstractDataset, DatasetError


class RawFolderDataset(AbstractDataset[Any, Any]):
    """The raw folder as a `pathlib.Path`; it need not exist yet.

    Example:
        >>> RawFolderDataset(filepath="data/01_raw/real").load().name
        'real'
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> Path:
        """The folder's path."""
        return self._filepath

    def save(self, data: Any) -> NoReturn:
        """Refuse: raw corpora are placed by `download` or by hand."""
        raise DatasetError(f"{self._filepath}: the raw folder is never saved by Kedro")

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}
