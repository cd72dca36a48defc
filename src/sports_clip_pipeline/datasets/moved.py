"""What a long node has written to a workspace, taken to its place whole or not at all."""

from __future__ import annotations

import shutil
from pathlib import Path

from sports_clip_pipeline.datasets.place import PlacedDataset
from sports_clip_pipeline.datasets.tables import CsvTable
from sports_clip_pipeline.journal.disk import replacing_file, replacing_folder
from sports_clip_pipeline.journal.disk_refusals import naming_file


class MovedTable(CsvTable):
    """A CSV file. Saved from the path of one that a node has finished; loaded as a table."""

    def save(self, data: Path) -> None:
        """Move the file to its place. Raises: UserFacingError: the disk refuses."""
        final = Path(str(self._filepath))
        with naming_file(final), replacing_file(final) as partial:
            shutil.move(data, partial)


class MovedFolder(PlacedDataset[Path, Path]):
    """A folder of files. Saved from the path of one that a node has filled; loaded as its path."""

    def load(self) -> Path:
        """The folder's path."""
        return self._filepath

    def save(self, data: Path) -> None:
        """Move its files to their place; an empty one leaves none there, not even a former one."""
        files = sorted(data.iterdir())
        if not files:
            shutil.rmtree(self._filepath, ignore_errors=True)
            return
        with replacing_folder(self._filepath) as partial:
            for file in files:
                shutil.move(file, partial / file.name)

    def _exists(self) -> bool:
        return self._filepath.is_dir()
