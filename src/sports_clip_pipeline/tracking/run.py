"""The record of one `kedro run`: a parent run, its children, its live metrics and its files."""

from __future__ import annotations

import atexit
import logging
import os
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.tracking.lane import Lane, QueuedLane
from sports_clip_pipeline.tracking.locks import dead, end_life, fall_silent, show_life
from sports_clip_pipeline.tracking.operations import (
    RECORD_TAG,
    Begin,
    End,
    File,
    Operation,
    Text,
    Values,
)
from sports_clip_pipeline.tracking.outbox import Header, Outbox
from sports_clip_pipeline.tracking.parameters import as_text, safe_name
from sports_clip_pipeline.tracking.store import Store, connect, sqlite_path
from sports_clip_pipeline.tracking.writer import Writer

if TYPE_CHECKING:
    from mlflow import MlflowClient

PROCESS_TAG = "process"
DATA_TAG = "data_digest"
UPLOAD = "python -m sports_clip_pipeline.tracking.upload"
_INHERITED = ("study", "env", DATA_TAG, PROCESS_TAG, "git.commit", "git.dirty")
_FLUSH_COUNT = 50
_FLUSH_S = 2.0
_logger = logging.getLogger(__name__)


class TrackedRun:
    """A running MLflow run; the `Tracker` that journals are attached to.

    The record is second to the work: what the store does not take is kept in the outbox beside
    the signs of life, and one warning says so. Copies in forked or pickled workers write to the
    same run; only the process that started it may finish it.
    """

    def __init__(self, store: Store, life: Path, name: str, tags: Mapping[str, str]) -> None:
        """Start the run, and set the runs of dead processes to KILLED first.

        Args:
            store: the opened store.
            life: the folder with the signs of living processes.
            name: the name of the run.
            tags: what the run came from.
        Raises: UserFacingError: the store does not take a new run.
        """
        self.store, self._life = store, life
        self._owner = self._pid = os.getpid()
        self._metrics: list[list[Any]] = []
        self._flushed_s = time.monotonic()
        self._warned = self._finished = False
        self._open_child: str | None = None
        client = connect(store.uri)
        self._process = show_life(life, store.uri)
        self.tags = {**tags, PROCESS_TAG: self._process}
        self.run_id = self._begin(client, name)
        self._header = Header(store.uri, store.experiment_id, self.run_id, self._process, name)
        self._open_lane(client, QueuedLane if sqlite_path(store.uri) is None else Lane)
        atexit.register(self.abandon)

    def _begin(self, client: MlflowClient, name: str) -> str:
        tags = {**self.tags, RECORD_TAG: self._process}
        try:
            close_dead(client, self._life, self.store.uri)
            run = client.create_run(self.store.experiment_id, tags=tags, run_name=name)
        except Exception as error:
            end_life(self._life, self._process)
            what = (str(error) or type(error).__name__).splitlines()[0]
            remedy = "see the server's log, or set server.mlflow_tracking_uri in mlflow.yml"
            raise UserFacingError(self.store.uri, f"takes no new run ({what})", remedy) from error
        return str(run.info.run_id)

    def _open_lane(self, client: MlflowClient, kind: type[Lane]) -> None:
        header = self._header
        self._writer = Writer(client, header.experiment_id, {header.record: header.run_id})
        self._outbox = Outbox(self._life.with_name("outbox"), header)
        self._lane = kind(self._writer.do, self._outbox, self._warn)

    def __getstate__(self) -> dict[str, Any]:
        """Workers get the run without this process's connection, lane and unwritten metrics."""
        own = ("_writer", "_outbox", "_lane")
        kept = {key: value for key, value in self.__dict__.items() if key not in own}
        return {**kept, "_metrics": [], "_owner": 0, "_pid": 0}

    @property
    def client(self) -> MlflowClient:
        """The connection of the present process to the store."""
        self._notice_fork()
        return self._writer.client

    def put(self, operation: Operation) -> None:
        """Record one operation."""
        self._notice_fork()
        self._lane.put(operation)

    @property
    def record(self) -> str:
        """The run's own name among operations."""
        return self._process

    def log_metrics(self, metrics: dict[str, float], step: int | None) -> None:
        """Keep metrics for the next batch: every 50 of them, or the first after 2 seconds.

        A worker does not know which of its metrics is the last and writes each at once.
        """
        self._notice_fork()
        now_ms = int(time.time() * 1000)
        self._metrics += [
            [safe_name(name), float(value), now_ms, int(step or 0)]
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
            self.put(Values(self.record, metrics=kept))

    def _notice_fork(self) -> None:
        """In a worker, leave connection and metrics to the process that they were copied from.

        A worker may end without a word, so it writes at once and has a file of its own to keep
        what is refused.
        """
        if self._pid != os.getpid():
            self._metrics, self._pid = [], os.getpid()
            self._header = Header(**{**vars(self._header), "owner": False})
            self._open_lane(connect(self.store.uri), Lane)

    def log_arm(
        self, name: str, params: dict[str, Any], metrics: dict[str, float], tags: dict[str, str]
    ) -> None:
        """Record one finished arm as a child run; `tags` say `reused: "true"` where it was."""
        shared = {key: self.tags[key] for key in _INHERITED if key in self.tags}
        own = {"mlflow.parentRunId": self.run_id, **{key: str(tags[key]) for key in tags}}
        known = {key: self.tags[key] for key in ("study", DATA_TAG) if key in self.tags}
        texts = {safe_name(key): as_text(value) for key, value in {**known, **params}.items()}
        record, now_ms = uuid.uuid4().hex, int(time.time() * 1000)
        values = [[safe_name(key), float(metrics[key]), now_ms, 0] for key in metrics]
        self.put(Begin(record, name, {**shared, **own}, now_ms))
        self._open_child = record
        self.put(Values(record, params=texts, metrics=values))
        self.put(End(record, "FINISHED", int(time.time() * 1000)))
        self._open_child = None

    def log_params(self, params: Mapping[str, str]) -> None:
        """Record parameters that are flat already."""
        if params:
            self.put(Values(self.record, params=dict(params)))

    def set_tag(self, name: str, value: str) -> None:
        """Set a tag on the run, and on the children that follow where they share it."""
        self.tags[name] = value
        self.put(Values(self.record, tags={name: value}))

    def log_path(self, path: Path, folder: str | None) -> None:
        """Copy a file, or a folder with what is in it, among the run's artifacts."""
        self.put(File(self.record, str(path.absolute()), folder))

    def log_text(self, text: str, place: str) -> None:
        """Write `text` among the run's artifacts at `place` (`tables/arms.csv`)."""
        self.put(Text(self.record, text, place))

    def learn_data(self) -> None:
        """In a worker, take the data's digest from the run: another process may have put it."""
        from mlflow.exceptions import MlflowException

        self._notice_fork()
        if DATA_TAG in self.tags or self._pid == self._owner or self._lane.is_cut:
            return
        try:
            tags = self.client.get_run(self.run_id).data.tags
        except (MlflowException, OSError) as error:
            self._warn("tags", error)
            return
        self.tags |= {DATA_TAG: tags[DATA_TAG]} if DATA_TAG in tags else {}

    def finish(self, status: str, error: BaseException | None = None) -> None:
        """Close the run and a child left open; bring what waits to the store or the outbox.

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
        now_ms = int(time.time() * 1000)
        if self._open_child is not None:
            child = "KILLED" if status == "KILLED" else "FAILED"
            self.put(End(self._open_child, child, now_ms))
        self.put(End(self.record, status, now_ms))
        self._lane.close()
        if self._lane.is_lost:
            fall_silent(self._process)
        else:
            end_life(self._life, self._process)

    def abandon(self) -> None:
        """Close what nobody finished: the interpreter ends, by Ctrl-C say."""
        self.finish("KILLED")

    def _warn(self, what: str, error: Exception | None) -> None:
        """Say once that the store does not take the record, and how it gets there."""
        if self._warned and not self._lane.is_lost:
            return
        self._warned = True
        if error is None:
            reason = "it is slower than the run, and the queue to it is full"
        else:
            reason = (str(error) or type(error).__name__).splitlines()[0]
        _logger.warning(
            "%s: MLflow could not record %s (%s); this run goes on, and the rest of its record is "
            "kept in %s; when MLflow answers again: %s",
            *(self.store.uri, what, reason, self._outbox.folder, UPLOAD),
        )


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
