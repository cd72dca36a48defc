"""Kedro datasets of one file: tables, JSON documents, figures, pages and classifier heads.

All of them save atomically: a reader finds the old file or the new one.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, Generic, TypeVar

from kedro.io import AbstractDataset, DatasetError
from kedro_datasets._typing import TablePreview
from kedro_datasets.json import JSONDataset as KedroJSONDataset
from kedro_datasets.pandas import CSVDataset, ParquetDataset
from kedro_datasets.plotly import JSONDataset as PlotlyDataset
from kedro_datasets.text import TextDataset

from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.io.state import replacing_file, write_atomically

Saved = TypeVar("Saved")
Loaded = TypeVar("Loaded")
_MAX_CELL_CHARACTERS = 80


class PathDataset(AbstractDataset[Saved, Loaded], Generic[Saved, Loaded]):
    """Base class of a dataset at a path; subclasses define `load` and `save`.

    Args:
        filepath: of the file, or of the folder; that exists if it holds the file `_marker`.
        metadata: for Kedro-Viz and the tracking hook.
    """

    _marker = ""

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}

    def _exists(self) -> bool:
        return (self._filepath / self._marker).exists()


class AtomicSave:
    """Mixin of a kedro-datasets class: `save` writes a temporary file and renames it.

    Versioned datasets are not supported.
    """

    _partial: PurePosixPath | None = None

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


def _require_fields(
    path: object, required: Sequence[str], present: Collection[str], made_by: str
) -> None:
    """Raises: UserFacingError: a required field is missing, as in a file of an older version."""
    if missing := ", ".join(name for name in required if name not in present):
        what = f"{missing} missing: another version of the project wrote it"
        raise UserFacingError(path, what, f"make it again with `kedro run --pipelines={made_by}`")


class ParquetTable(AtomicSave, ParquetDataset):
    """A pandas table in one Parquet file.

    Args:
        filepath: of the file.
        columns: required columns, checked on load.
        made_by: the pipeline to run again if a column is missing.
        more: arguments of kedro-datasets' Parquet dataset.
    """

    def __init__(
        self, *, filepath: str, columns: Sequence[str] = (), made_by: str = "", **more: Any
    ) -> None:
        super().__init__(filepath=filepath, **more)
        self._columns, self._made_by = tuple(columns), made_by

    def load(self) -> Any:
        """The table. Raises: UserFacingError: a required column is missing."""
        table = super().load()
        _require_fields(self._filepath, self._columns, table.columns, self._made_by)
        return table

    def preview(self, nrows: int = 5) -> TablePreview:
        """The first rows for Kedro-Viz, as JSON values: lists as shortened text."""
        head = self.load().head(nrows)
        rows = [[_preview_cell(value) for value in row] for row in head.itertuples(index=False)]
        return TablePreview(
            {"index": list(range(len(head))), "columns": list(head.columns), "data": rows}
        )


def _preview_cell(value: Any) -> str | float | int | None:
    value = value.tolist() if hasattr(value, "tolist") else value
    if value is None or isinstance(value, (str, int, float)):
        return value
    text = str(value)
    return text if len(text) <= _MAX_CELL_CHARACTERS else f"{text[:_MAX_CELL_CHARACTERS]}…"


class OptionalTable(ParquetTable):
    """The table of an optional pipeline; loads an empty one if that has not run."""

    def load(self) -> Any:
        """The table, or one without rows and columns."""
        import pandas as pd

        return super().load() if self.exists() else pd.DataFrame()


class CsvTable(AtomicSave, CSVDataset):
    """A pandas table in one CSV file."""


class MovedTable(CsvTable):
    """A CSV file that a node has written: saved by moving it, loaded as a table."""

    def save(self, data: Path) -> None:
        """Move the file `data`. Raises: UserFacingError: the file cannot be written."""
        with replacing_file(Path(str(self._filepath))) as partial:
            shutil.move(data, partial)


class JsonDocument(AtomicSave, KedroJSONDataset):
    """A JSON document.

    Args:
        filepath: of the file.
        fields: required top-level fields, checked on load.
        made_by: the pipeline to run again if a field is missing.
        more: arguments of kedro-datasets' JSON dataset.
    """

    def __init__(
        self, *, filepath: str, fields: Sequence[str] = (), made_by: str = "", **more: Any
    ) -> None:
        super().__init__(filepath=filepath, **more)
        self._fields, self._made_by = tuple(fields), made_by

    def load(self) -> Any:
        """The document. Raises: UserFacingError: a required field is missing."""
        document = super().load()
        _require_fields(self._filepath, self._fields, document, self._made_by)
        return document


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


class PlotlyFigure(AtomicSave, PlotlyDataset):
    """A plotly figure as JSON, previewed by Kedro-Viz."""


class TextPage(AtomicSave, TextDataset):
    """A text or HTML page."""


class HeadFile(PathDataset[Any, Any]):
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
