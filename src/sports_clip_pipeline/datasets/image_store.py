"""A store of images as the catalog sees it: a folder, put in its place whole or not at all."""

from __future__ import annotations

from sports_clip_pipeline.data.image_store import INDEX, ImageStore, publish
from sports_clip_pipeline.datasets.place import PlacedDataset


class ImageStoreDataset(PlacedDataset[ImageStore, ImageStore]):
    """A folder of Arrow shards with an index.

    Example:
        >>> ImageStoreDataset(filepath="data/03_primary/sample/sports_images").load()
    """

    def load(self) -> ImageStore:
        """Open the store. Raises: UserFacingError: no complete store stands there."""
        return ImageStore(self._filepath)

    def save(self, data: ImageStore) -> None:
        """Link (or copy) the shards into place; nothing is done when they already stand there."""
        publish(data, self._filepath)

    def _exists(self) -> bool:
        return (self._filepath / INDEX).is_file()
