"""Handles that long nodes take from the catalog: the journal and the cache of features."""

from __future__ import annotations

from typing import Any, NoReturn

from kedro.io import DatasetError

from sports_clip_pipeline.datasets.place import PlacedDataset
from sports_clip_pipeline.journal import DiskJournal


class _Handle(PlacedDataset[Any, Any]):
    """A folder handed to a node as an object; always there, never saved by Kedro."""

    def save(self, data: Any) -> NoReturn:
        """Refuse: the node writes through the handle."""
        raise DatasetError(f"{self._filepath}: this is a handle; nodes write through it")

    def _exists(self) -> bool:
        return True


class JournalDataset(_Handle):
    """The journal of one pipeline, kept in a folder."""

    def load(self) -> DiskJournal:
        """The journal."""
        return DiskJournal(self._filepath)


class FeatureCacheDataset(_Handle):
    """The content-addressed cache of features, shared by all studies."""

    def load(self) -> Any:
        """The cache."""
        from sports_clip_pipeline.encoders.feature_store import FeatureCache

        return FeatureCache(self._filepath)
