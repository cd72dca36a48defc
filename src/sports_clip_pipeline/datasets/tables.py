"""Tables: Parquet between the parts, CSV where people or competitions want it."""

from __future__ import annotations

from typing import Any

from kedro_datasets._typing import TablePreview
from kedro_datasets.pandas import CSVDataset, ParquetDataset

from sports_clip_pipeline.datasets.atomic import AtomicSave

_SHOWN = 80


class ParquetTable(AtomicSave, ParquetDataset):
    """A pandas table in one Parquet file, saved whole or not at all."""

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
