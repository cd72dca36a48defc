"""The record of one `kedro run`: a parent run, its children, its live metrics and its files."""

from __future__ import annotations

import atexit
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sports_clip_pipeline.tracking.locks import dead, end_life, fall_silent, show_life
from sports_clip_pipeline.tracking.parameters import as_text, safe_name
from sports_clip_pipeline.tracking.store import Store, connect

if TYPE_CHECKING:
    from mlflow import MlflowClient

T = TypeVar("T")

PROCESS_TAG = "process"
DATA_TAG = "data_digest"
_INHERITED = ("study", "env", DATA_TAG, PROCESS_TAG, "git.commit", "git.dirty")
_FLUSH_COUNT = 50
_FLUSH_S = 2.0
_BATCH = 100
_logger = logging.getLogger(__name__)


class TrackedRun:
    """A running MLflow run; the `Tracker` that journals are attached to.

    The record is second to the work: where MLflow fails while the run is under way, one warning
    says so and nothing more is recorded. Copies in forked or pickled workers write to the same
    run; only the process that started it may finish it.
    """

    def __init__(self, store: Store, life: Path, name: str, tags: Mapping[str, str]) -> None:
        """Start the run, and set the runs of dead processes to KILLED first.

        Args:
            store: the opened store.
            life: the folder with the signs of living processes.
            name: the name of the run.
            tags: what the run came from.
        """
        self.store, self._life = store, life
        self._owner = self._pid = os.getpid()
        self._client: MlflowClient | None = connect(store.uri)
        self._metrics: list[tuple[str, float, int, int]] = []
        self._flushed_s = time.monotonic()
        self._broken = self._finished = False
        self._open_child: str | None = None
        close_dead(self.client, life, store.uri)
        self._process = show_life(life, store.uri)
        self.tags = {**tags, PROCESS_TAG: self._process}
        run = self.client.create_run(store.experiment_id, tags=self.tags, run_name=name)
        self.run_id = str(run.info.run_id)
        atexit.register(self.abandon)

    def __getstate__(self) -> dict[str, Any]:
        """Workers get the run without this process's connection and unwritten metrics."""
        return {**self.__dict__, "_client": None, "_metrics": []}

    @property
    def client(self) -> MlflowClient:
        """The connection of the present process to the store."""
        self._notice_fork()
        if self._client is None:
            self._client = connect(self.store.uri)
        return self._client

    def log_metrics(self, metrics: dict[str, float], step: int | None) -> None:
        """Keep metrics for the next batch: every 50 of them, or the first after 2 seconds.

        A worker does not know which of its metrics is the last and writes each at once.
        """
        self._notice_fork()
        now_ms = int(time.time() * 1000)
        self._metrics += [
            (safe_name(name), float(value), now_ms, int(step or 0))
            for name, value in metrics.items()
        ]
        is_due = time.monotonic() - self._flushed_s >= _FLUSH_S
        if is_due or len(self._metrics) >= _FLUSH_COUNT or self._pid != self._owner:
            self.flush()

    def flush(self) -> None:
        """Write the metrics kept so far."""
        self._notice_fork()
        kept, self._metrics = self._metrics, []
        self._flushed_s = time.monotonic()
        if kept:
            self._record("live metrics", lambda: self._write_metrics(self.run_id, kept))

    def _notice_fork(self) -> None:
        """In a worker, leave connection and metrics to the process that they were copied from."""
        if self._pid != os.getpid():
            self._client, self._metrics, self._pid = None, [], os.getpid()

    def log_arm(
        self, name: str, params: dict[str, Any], metrics: dict[str, float], tags: dict[str, str]
    ) -> None:
        """Record one finished arm as a child run; `tags` say `reused: "true"` where it was."""
        self._record(f"arm {name}", lambda: self._write_child(name, params, metrics, tags))

    def log_params(self, params: Mapping[str, str]) -> None:
        """Record parameters that are flat already."""
        self._record("parameters", lambda: self._write_params(self.run_id, params))

    def set_tag(self, name: str, value: str) -> None:
        """Set a tag on the run, and on the children that follow where they share it."""
        self.tags[name] = value
        self._record(f"tag {name}", lambda: self.client.set_tag(self.run_id, name, value))

    def log_path(self, path: Path, folder: str | None) -> None:
        """Copy a file, or a folder with what is in it, among the run's artifacts."""

        def write() -> None:
            if path.is_dir():
                place = "/".join(part for part in (folder, path.name) if part)
                self.client.log_artifacts(self.run_id, str(path), place)
            else:
                self.client.log_artifact(self.run_id, str(path), folder)

        self._record(f"file {path.name}", write)

    def log_text(self, text: str, place: str) -> None:
        """Write `text` among the run's artifacts at `place` (`tables/arms.csv`)."""
        self._record(f"file {place}", lambda: self.client.log_text(self.run_id, text, place))

    def learn_data(self) -> None:
        """Take the data's digest from the run where another process has put it."""
        if DATA_TAG not in self.tags:
            tags = self._record("tags", lambda: self.client.get_run(self.run_id).data.tags)
            self.tags |= {DATA_TAG: tags[DATA_TAG]} if tags and DATA_TAG in tags else {}

    def finish(self, status: str, error: BaseException | None = None) -> None:
        """Close the run and a child left open.

        Args:
            status: `FINISHED`, `FAILED` or `KILLED`.
            error: what it failed with; its first line becomes the tag `error`.
        """
        if self._finished or os.getpid() != self._owner:
            return
        self._finished = True
        atexit.unregister(self.abandon)
        self.flush()
        if error is not None:
            line = " ".join(f"{type(error).__name__}: {error}".split())[:500]
            self.set_tag("error", line)
        if self._record("status", lambda: self._close(status), always=True):
            end_life(self._life, self._process)
        else:
            fall_silent(self._process)

    def abandon(self) -> None:
        """Close what nobody finished: the interpreter ends, by Ctrl-C say."""
        self.finish("KILLED")

    def _close(self, status: str) -> bool:
        if self._open_child is not None:
            child = "KILLED" if status == "KILLED" else "FAILED"
            self.client.set_terminated(self._open_child, status=child)
        self.client.set_terminated(self.run_id, status=status)
        return True

    def _write_child(
        self, name: str, params: dict[str, Any], metrics: dict[str, float], tags: dict[str, str]
    ) -> None:
        shared = {key: self.tags[key] for key in _INHERITED if key in self.tags}
        own = {"mlflow.parentRunId": self.run_id, **{key: str(tags[key]) for key in tags}}
        child = self.client.create_run(
            self.store.experiment_id, tags={**shared, **own}, run_name=name
        )
        self._open_child = str(child.info.run_id)
        known = {key: self.tags[key] for key in ("study", DATA_TAG) if key in self.tags}
        texts = {safe_name(key): as_text(value) for key, value in {**known, **params}.items()}
        self._write_params(self._open_child, texts)
        now_ms = int(time.time() * 1000)
        values = [(safe_name(key), float(metrics[key]), now_ms, 0) for key in metrics]
        self._write_metrics(self._open_child, values)
        self.client.set_terminated(self._open_child, status="FINISHED")
        self._open_child = None

    def _write_metrics(self, run_id: str, metrics: Sequence[tuple[str, float, int, int]]) -> None:
        from mlflow.entities import Metric

        for batch in _batches([Metric(*metric) for metric in metrics]):
            self.client.log_batch(run_id, metrics=batch)

    def _write_params(self, run_id: str, params: Mapping[str, str]) -> None:
        from mlflow.entities import Param

        for batch in _batches([Param(name, value) for name, value in params.items()]):
            self.client.log_batch(run_id, params=batch)

    def _record(self, what: str, write: Callable[[], T], *, always: bool = False) -> T | None:
        """Do `write`; the first time MLflow or the disk refuses, warn and record no more."""
        from mlflow.exceptions import MlflowException

        if self._broken and not always:
            return None
        try:
            return write()
        except (MlflowException, OSError) as error:
            if getattr(error, "error_code", "") == "INVALID_PARAMETER_VALUE":
                raise
            if not self._broken:
                _logger.warning(
                    "%s: MLflow could not record %s (%s); this run goes on, and MLflow records "
                    "no more of it",
                    self.store.uri,
                    what,
                    (str(error) or type(error).__name__).splitlines()[0],
                )
            self._broken = True
            return None


def close_dead(client: MlflowClient, life: Path, uri: str) -> int:
    """Set the runs of processes that died, and their children, to KILLED; how many there were."""
    names = dead(life, uri)
    if not names:
        return 0
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    closed = 0
    for name in names:
        query = f"tags.{PROCESS_TAG} = '{name}' and attributes.status = 'RUNNING'"
        for run in client.search_runs(experiments, query, max_results=1000):
            client.set_terminated(run.info.run_id, status="KILLED")
            closed += 1
        end_life(life, name)
    return closed


def _batches(items: list[T]) -> Iterator[list[T]]:
    """MLflow takes 100 parameters a call."""
    for start in range(0, len(items), _BATCH):
        yield items[start : start + _BATCH]
