"""Kedro datasets of one file: tables, JSON documents, figures, pages and classifier heads.

All of them save atomically: a reader finds the old file or the new one.
"""

import json
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from textwrap import shorten
from typing import Any

import numpy as np
from kedro.io import AbstractDataset, DatasetError
from kedro_datasets._typing import TablePreview
from kedro_datasets.json import JSONDataset as KedroJSONDataset
from kedro_datasets.pandas import CSVDataset, ParquetDataset
from kedro_datasets.plotly import JSONDataset as PlotlyDataset
from kedro_datasets.text import TextDataset

from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.io.state import replacing_file, write_atomically


class PathDataset(AbstractDataset[Any, Any]):
    """Base class of a dataset at a path; subclasses define `save`, and most of them `load`.

    Args:
        filepath: of the file, or of the folder; that exists if it holds the file `_marker`.
        metadata: for Kedro-Viz and the tracking hook.
    """

    _marker = ""

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> Any:
        """The path."""
        return self._filepath

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}

    def _exists(self) -> bool:
        return (self._filepath / self._marker).exists()


class AtomicDataset:
    """Mixin of a kedro-datasets class: saves atomically, loads what this version has written.

    `save` writes a temporary file and renames it. Versioned datasets are not supported.

    Args:
        required: columns of a table, or top-level fields of a document.
        made_by: the pipeline to run again if one of them is missing.
        more: arguments of the kedro-datasets class.
    """

    _filepath: PurePosixPath
    _partial: PurePosixPath | None = None

    def __init__(self, *, required: Sequence[str] = (), made_by: str = "", **more: Any) -> None:
        super().__init__(**more)
        self._required, self._made_by = tuple(required), made_by

    def load(self) -> Any:
        """The content. Raises: UserFacingError: a required column or field is missing."""
        content = super().load()  # type: ignore[misc]
        if missing := ", ".join(name for name in self._required if name not in content):
            what = f"{missing} missing: another version of the project wrote it"
            remedy = f"make it again with `kedro run --pipelines={self._made_by}`"
            raise UserFacingError(self._filepath, what, remedy)
        return content

    def save(self, data: Any) -> None:
        """Save atomically. Raises: UserFacingError: the file cannot be written."""
        try:
            with replacing_file(Path(str(super()._get_save_path()))) as partial:  # type: ignore[misc]
                self._partial = PurePosixPath(partial)
                super().save(data)  # type: ignore[misc]
        finally:
            self._partial = None

    def _get_save_path(self) -> PurePosixPath:
        return self._partial or super()._get_save_path()  # type: ignore[misc]


class ParquetTable(AtomicDataset, ParquetDataset):
    """A pandas table in one Parquet file."""

    def preview(self, nrows: int = 5) -> TablePreview:
        """The first rows for Kedro-Viz, as JSON values: lists as shortened text."""
        shown = self.load().head(nrows).map(_preview_cell)
        return TablePreview(json.loads(shown.to_json(orient="split")))


def _preview_cell(value: Any) -> Any:
    """A list or an array as shortened text; other values unchanged."""
    if not isinstance(value, (list, np.ndarray)):
        return value
    return shorten(str(np.asarray(value).tolist()), 80, placeholder=" …")


class OptionalTable(ParquetTable):
    """The table of an optional pipeline; loads an empty one if that has not run."""

    def load(self) -> Any:
        """The table, or one without rows and columns."""
        import pandas as pd

        return super().load() if self.exists() else pd.DataFrame()


class CsvTable(AtomicDataset, CSVDataset):
    """A pandas table in one CSV file."""


class MovedTable(CsvTable):
    """A CSV file that a node has written: saved by moving it, loaded as a table."""

    def save(self, data: Path) -> None:
        """Move the file `data`. Raises: UserFacingError: the file cannot be written."""
        with replacing_file(Path(str(self._filepath))) as partial:
            shutil.move(data, partial)


class JsonDocument(AtomicDataset, KedroJSONDataset):
    """A JSON document."""


class EvaluationLogFile(JsonDocument):
    """A JSON list of evaluations on the held-out images; `save` appends one."""

    def save(self, data: dict[str, Any]) -> None:
        """Append an evaluation: fields of `Evaluation`; time and commit are added here."""
        from sports_clip_pipeline.evaluation.evaluation_log import Evaluation, record_evaluation
        from sports_clip_pipeline.io.fingerprint import git_state

        evaluation = Evaluation(
            time_utc=datetime.now(UTC).isoformat(timespec="seconds"),
            commit=str(git_state()["commit"]),
            **{**data, "methods": tuple(data["methods"])},
        )
        super().save(record_evaluation(self.load() if self.exists() else [], evaluation))


class PlotlyFigure(AtomicDataset, PlotlyDataset):
    """A plotly figure as JSON, previewed by Kedro-Viz."""


class TextPage(AtomicDataset, TextDataset):
    """A text or HTML page."""


class HeadFile(PathDataset):
    """A classifier head (`predictor.head.Head`) in one safetensors file."""

    def load(self) -> Any:
        """The head. Raises: DatasetError: the file is missing or damaged."""
        from safetensors import SafetensorError, safe_open

        from sports_clip_pipeline.predictor.head import Head

        try:
            with safe_open(self._filepath, framework="numpy") as file:
                operations = json.loads(file.metadata()["operations"])
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise DatasetError(f"{self._filepath}: cannot be read ({error})") from error
        return Head.from_arrays(operations, arrays)

    def save(self, data: Any) -> None:
        """Save the head. Raises: UserFacingError: the file cannot be written."""
        from safetensors.numpy import save

        operations = json.dumps(data.describe())
        write_atomically(self._filepath, save(data.to_arrays(), {"operations": operations}))
