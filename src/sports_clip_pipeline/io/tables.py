"""Tables: Parquet between the parts, CSV where people or competitions want it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kedro_datasets._typing import TablePreview
from kedro_datasets.pandas import CSVDataset, ParquetDataset

from sports_clip_pipeline.io.base import AtomicSave, PlacedDataset, require_promised
from sports_clip_pipeline.io.state import naming_file, replacing_file, replacing_folder

_SHOWN = 80


class ParquetTable(AtomicSave, ParquetDataset):
    """A pandas table in one Parquet file, saved whole or not at all.

    Example:
        >>> ParquetTable(filepath="a.parquet", columns=["label"], made_by="finetune").load()
    """

    def __init__(
        self, *, filepath: str, columns: Sequence[str] = (), made_by: str = "", **more: Any
    ) -> None:
        """As kedro-datasets' Parquet dataset, and a promise.

        Args:
            filepath: where it stands.
            columns: what the table must hold.
            made_by: the pipeline that makes it; to be run again where a column is missing.
            more: what kedro-datasets' Parquet dataset takes.
        """
        super().__init__(filepath=filepath, **more)
        self._columns, self._made_by = tuple(columns), made_by

    def load(self) -> Any:
        """The table.

        Raises: UserFacingError: it lacks a column, as one does that an older version has written.
        """
        table = super().load()
        require_promised(self._filepath, self._columns, table.columns, self._made_by)
        return table

    def preview(self, nrows: int = 5) -> TablePreview:
        """The first rows for Kedro-Viz, which knows JSON: lists and numbers as short text."""
        shown = self.load().head(nrows)
        cells = [[_cell(value) for value in row] for row in shown.itertuples(index=False)]
        return TablePreview(
            {"index": list(range(len(shown))), "columns": list(shown.columns), "data": cells}
        )


class OptionalTable(ParquetTable):
    """A table that a pipeline of its own makes: empty where that has not run."""

    def load(self) -> Any:
        """The table, or one without rows and columns."""
        import pandas as pd

        return super().load() if self.exists() else pd.DataFrame()


class CsvTable(AtomicSave, CSVDataset):
    """A pandas table in one CSV file, saved whole or not at all."""


def _cell(value: Any) -> str | float | int | None:
    if hasattr(value, "tolist"):
        value = value.tolist()
    if value is None or isinstance(value, (str, int, float)):
        return value
    text = str(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


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
