"""A published corpus as the catalog sees it: a zip or a folder, read only."""

from __future__ import annotations

from typing import Any, NoReturn

from kedro.io import DatasetError

from sports_clip_pipeline.data.archives import Archive
from sports_clip_pipeline.datasets.place import PlacedDataset


class ArchiveDataset(PlacedDataset[Any, Archive]):
    """`FILEPATH.zip`, or the folder `FILEPATH`; the zip wins where both stand.

    Example:
        >>> ArchiveDataset(filepath="data/01_raw/real/flickr8k").load()
    """

    def load(self) -> Archive:
        """The archive, not yet listed. Raises: UserFacingError: neither form stands there."""
        return Archive.open(self._filepath)

    def save(self, data: Any) -> NoReturn:
        """Refuse: raw data are never written."""
        raise DatasetError(f"{self._filepath}: raw data are never written")

    def _exists(self) -> bool:
        packed = self._filepath.with_name(f"{self._filepath.name}.zip")
        return packed.is_file() or self._filepath.is_dir()
