"""Kedro datasets of the project (`type: sports_clip_pipeline.io.ParquetTable` in the catalog).

A dataset's module, and with it pandas, plotly or pyarrow, is imported on first use.
"""

from importlib import import_module
from typing import Any

_MODULES = {
    "arrays": "Arrays LinkedArrays",
    "files": "CsvTable EvaluationLogFile HeadFile JsonDocument MovedTable OptionalTable "
    "ParquetTable PlotlyFigure TextPage",
    "folders": "ArchiveDataset ClipFolderDataset ExportedPredictorDataset FeatureCacheDataset "
    "GalleryDataset ImageStoreDataset MovedFolder PredictorDataset PredictorFoldersDataset "
    "RawFolderDataset RunStateDataset",
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names.split()}

__all__ = list(_MODULE_OF)


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
