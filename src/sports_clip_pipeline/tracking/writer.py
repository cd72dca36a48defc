"""Doing operations in the store, so that what is done twice stands there once.

A child is looked for by its record before it is begun a second time. The store itself keeps a
parameter, a tag, a metric of one time and step, and an artifact of one place once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.tracking.operations import (
    RECORD_TAG,
    Begin,
    Compare,
    End,
    File,
    Operation,
    Register,
    Text,
    Values,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient

T = TypeVar("T")
_BATCH = 100
_METRIC_BATCH = 500


class Writer:
    """Does operations of one run and its children."""

    def __init__(
        self, client: MlflowClient, experiment_id: str, runs: dict[str, str], *, again: bool = False
    ) -> None:
        """The writer of runs in one experiment.

        Args:
            client: of the store.
            experiment_id: where children begin.
            runs: the MLflow id of each record that is known already.
            again: children may stand there already: look before one is begun.
        """
        self.client = client
        self._experiment_id, self._runs, self._again = experiment_id, runs, again
        self._do: dict[type[Any], Callable[[Any], None]] = {
            Begin: self._begin,
            Values: self._values,
            Text: self._text,
            File: self._file,
            Compare: self._compare,
            Register: self._register,
            End: self._end,
        }

    def do(self, operation: Operation) -> None:
        """Do one operation.

        Raises: MlflowException, OSError: the store does not take it.
        """
        self._do[type(operation)](operation)

    def run_id(self, record: str) -> str:
        """The MLflow run of a record.

        Raises: UserFacingError: there is none.
        """
        found = self._runs.get(record) or self._found(record)
        if found is None:
            remedy = "restore it in the MLflow UI, or delete its folder in mlruns/outbox"
            raise UserFacingError(f"record {record}", "its run is not in the store", remedy)
        self._runs[record] = found
        return found

    def _found(self, record: str) -> str | None:
        query = f"tags.{RECORD_TAG} = '{record}'"
        found = self.client.search_runs([self._experiment_id], query, max_results=1)
        return str(found[0].info.run_id) if found else None

    def _begin(self, operation: Begin) -> None:
        known = self._found(operation.record) if self._again else None
        if known is None:
            tags = {**operation.tags, RECORD_TAG: operation.record}
            run = self.client.create_run(
                self._experiment_id, operation.start_ms, tags=tags, run_name=operation.name
            )
            known = str(run.info.run_id)
        self._runs[operation.record] = known

    def _values(self, operation: Values) -> None:
        from mlflow.entities import Metric, Param, RunTag

        run_id = self.run_id(operation.record)
        params = [Param(name, value) for name, value in operation.params.items()]
        tags = [RunTag(name, value) for name, value in operation.tags.items()]
        metrics = [Metric(*row) for row in operation.metrics]
        if len(params) <= _BATCH and len(metrics) <= _METRIC_BATCH and len(tags) <= _BATCH:
            self.client.log_batch(run_id, metrics=metrics, params=params, tags=tags)
            return
        for some in _batches(params, _BATCH):
            self.client.log_batch(run_id, params=some)
        for rows in _batches(metrics, _METRIC_BATCH):
            self.client.log_batch(run_id, metrics=rows)
        for few in _batches(tags, _BATCH):
            self.client.log_batch(run_id, tags=few)

    def _text(self, operation: Text) -> None:
        self.client.log_text(self.run_id(operation.record), operation.text, operation.place)

    def _file(self, operation: File) -> None:
        source, run_id = Path(operation.source), self.run_id(operation.record)
        if source.is_dir():
            place = "/".join(part for part in (operation.folder, source.name) if part)
            self.client.log_artifacts(run_id, str(source), place)
        else:
            self.client.log_artifact(run_id, str(source), operation.folder)

    def _compare(self, operation: Compare) -> None:
        from sports_clip_pipeline.tracking.comparison import record_comparison

        run_id = self.run_id(operation.record)
        record_comparison(self.client, self._experiment_id, run_id, operation.study)

    def _register(self, operation: Register) -> None:
        from sports_clip_pipeline.tracking.registry import register

        register(self.client, self.run_id(operation.record), operation)

    def _end(self, operation: End) -> None:
        run_id = self.run_id(operation.record)
        self.client.set_terminated(run_id, operation.status, operation.end_ms)


def _batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """MLflow takes 100 parameters and 1,000 metrics a call."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
