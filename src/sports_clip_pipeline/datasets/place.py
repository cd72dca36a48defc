"""What every dataset of ours has: one place on disk, and notes for Kedro-Viz and MLflow."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Generic, TypeVar

from kedro.io import AbstractDataset

Saved = TypeVar("Saved")
Loaded = TypeVar("Loaded")


class PlacedDataset(AbstractDataset[Saved, Loaded], Generic[Saved, Loaded]):
    """A file or a folder of its own; `load` and `save` are the subclass's."""

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        """Say where it stands.

        Args:
            filepath: of the file or folder.
            metadata: what the catalog says of it to Kedro-Viz and to the tracking hook.
        """
        self._filepath = Path(filepath)
        self.metadata = metadata

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}
