"""Kedro datasets of the project, imported when the catalog first asks for one.

`type: sports_clip_pipeline.io.ParquetTable` in the catalog; pandas, plotly and pyarrow come
in with the class, not with this package.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "ParquetTable": "tables",
    "OptionalTable": "tables",
    "CsvTable": "tables",
    "JsonDocument": "documents",
    "PlotlyFigure": "documents",
    "TextPage": "documents",
    "Arrays": "arrays",
    "LinkedArrays": "arrays",
    "HeadFile": "folders",
    "EvaluationLogFile": "documents",
    "JournalDataset": "folders",
    "FeatureCacheDataset": "folders",
    "ClipFolderDataset": "folders",
    "PredictorDataset": "folders",
    "PredictorFoldersDataset": "folders",
    "ExportedPredictorDataset": "folders",
    "MovedTable": "tables",
    "MovedFolder": "tables",
    "ArchiveDataset": "folders",
    "ImageStoreDataset": "folders",
    "RawFolderDataset": "folders",
    "GalleryDataset": "folders",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    """Import the module of the dataset class `name`."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
