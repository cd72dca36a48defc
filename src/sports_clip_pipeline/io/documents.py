"""JSON documents, figures and pages, saved whole or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from kedro_datasets.json import JSONDataset as JsonDataset
from kedro_datasets.plotly import JSONDataset as PlotlyDataset
from kedro_datasets.text import TextDataset

from sports_clip_pipeline.io.base import AtomicSave, require_promised


class JsonDocument(AtomicSave, JsonDataset):
    """A JSON document, which may have to hold certain fields.

    Example:
        >>> JsonDocument(filepath="audit.json", fields=["views"], made_by="embed").load()
    """

    def __init__(
        self, *, filepath: str, fields: Sequence[str] = (), made_by: str = "", **more: Any
    ) -> None:
        """As kedro-datasets' JSON dataset, and a promise.

        Args:
            filepath: where it stands.
            fields: what the document must hold at its top.
            made_by: the pipeline that makes it; to be run again where a field is missing.
            more: what kedro-datasets' JSON dataset takes.
        """
        super().__init__(filepath=filepath, **more)
        self._fields, self._made_by = tuple(fields), made_by

    def load(self) -> Any:
        """The document.

        Raises: UserFacingError: it lacks a field, as one does that an older version has written.
        """
        document = super().load()
        require_promised(self._filepath, self._fields, document, self._made_by)
        return document


class PlotlyFigure(AtomicSave, PlotlyDataset):
    """A plotly figure as JSON, previewed by Kedro-Viz."""


class TextPage(AtomicSave, TextDataset):
    """A text or HTML page."""


class EvaluationLogFile(JsonDocument):
    """A JSON list of evaluations. Saving one adds it, with the time and the commit.

    Example:
        >>> EvaluationLogFile(filepath="evaluation_log.json").save({"trials": 105, …})
    """

    def save(self, data: dict[str, Any]) -> None:
        """Add an evaluation: the fields of `Evaluation` but for its time and commit."""
        from sports_clip_pipeline.evaluation.evaluation_log import Evaluation, record_evaluation
        from sports_clip_pipeline.io.fingerprint import git_state

        time_utc = datetime.now(UTC).isoformat(timespec="seconds")
        commit = str(git_state().get("commit"))
        log = self.load() if self.exists() else []
        fields = {**data, "methods": tuple(data["methods"])}
        super().save(record_evaluation(log, Evaluation(time_utc=time_utc, commit=commit, **fields)))
