"""A store of images as the catalog sees it: a folder, put in its place whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset

from sports_clip_pipeline.corpora.store import INDEX, ImageStore, publish


class ImageStoreDataset(AbstractDataset[ImageStore, ImageStore]):
    """A folder of Arrow shards with an index.

    Example:
        >>> ImageStoreDataset(filepath="data/03_primary/sample/sports_images").load()
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> ImageStore:
        """Open the store. Raises: UserFacingError: no complete store stands there."""
        return ImageStore(self._filepath)

    def save(self, data: ImageStore) -> None:
        """Link (or copy) the shards into place; nothing is done when they already stand there."""
        publish(data, self._filepath)

    def _exists(self) -> bool:
        return (self._filepath / INDEX).is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}
