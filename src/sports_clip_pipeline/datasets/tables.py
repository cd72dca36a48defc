"""Tables: Parquet between the parts, CSV where people or competitions want it."""

from __future__ import annotations

from kedro_datasets.pandas import CSVDataset, ParquetDataset

from sports_clip_pipeline.datasets.atomic import AtomicSave


class ParquetTable(AtomicSave, ParquetDataset):
    """A pandas table in one Parquet file, saved whole or not at all."""


class CsvTable(AtomicSave, CSVDataset):
    """A pandas table in one CSV file, saved whole or not at all."""
