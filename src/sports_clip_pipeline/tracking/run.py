"""The MLflow run of one `kedro run`: live metrics, tags, and trials as child runs."""

import atexit
import json
import logging
import os
import re
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from sports_clip_pipeline.errors import first_line
from sports_clip_pipeline.parameters import as_text

if TYPE_CHECKING:
    from mlflow import MlflowClient

RECORD_COMMAND = "kedro run --runner=sports_clip_pipeline.tracking.datasets.RecordRunner"
_CHILD_TAGS = ("study", "env", "data_digest", "process", "git.commit", "git.dirty")
_CHILD_PARAMS = ("study", "data_digest", "backbone")
_LOGGER = logging.getLogger(__name__)


class TrackedRun:
    """A running MLflow run; the `Tracker` that run states are attached to.

    Copies in forked workers write to the same run; only the process that started it finishes it.
    """

    def __init__(
        self, store: "tuple[MlflowClient, str]", locks: Path, name: str, tags: Mapping[str, str]
    ) -> None:
        """Start the run, and set the runs of dead processes to KILLED first.

        Args:
            store: client and experiment. locks: folder of those that running processes hold.
        """
        self.is_lost, self.tags = False, {**tags, "process": uuid.uuid4().hex}
        self._client, self.experiment = store
        self._owner = os.getpid()
        close_dead_runs(*store, locks)
        run = self._client.create_run(self.experiment, tags=self.tags, run_name=name)
        self.run_id = run.info.run_id
        locks.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(locks / self.tags["process"])
        self._lock.acquire()
        atexit.register(self.finish, "KILLED")

    def call(self, function: str | Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Call a method of `MlflowClient`, or `function(client, run_id, …)`, on this run.

        The first failure loses the store: one warning is printed, and later calls do nothing.
        """
        from mlflow.exceptions import MlflowException

        if self.is_lost:
            return
        named = getattr(type(self._client), function) if isinstance(function, str) else function
        try:
            named(self._client, self.run_id, *args, **kwargs)
        except (MlflowException, OSError) as error:
            self.is_lost = True
            _LOGGER.warning(
                "%s: MLflow could not record run %s any further (%s); the run goes on; afterwards "
                "its data are recorded again by `%s`",
                *(self._client.tracking_uri, self.run_id, first_line(error), RECORD_COMMAND),
            )

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log metrics at a step."""
        self.call(log_batch, {}, metrics, step)

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags on the run, and on the children that follow where they share them."""
        self.tags |= tags
        for name, value in tags.items():
            self.call("set_tag", name, value)

    def read_tags(self) -> None:
        """In a worker, take the tags from the store: another process may have set them."""
        if os.getpid() != self._owner:
            self.call(lambda client, run_id: self.tags.update(client.get_run(run_id).data.tags))

    def log_trial(self, row: Mapping[str, Any], plan: str) -> None:
        """Log a row of the trials table of a plan (`frozen`, `end_to_end`) as a child run."""
        params = {name: self.tags[name] for name in _CHILD_PARAMS if name in self.tags}
        params |= {"plan": plan, **{k: row[k] for k in ("method", "fraction", "seed", "labels")}}
        params |= json.loads(row["hyperparameters"])
        metrics = {"elapsed_s": row["elapsed_s"]}
        metrics |= {f"test/{name}": row[name] for name in ("top1", "macro_f1")}
        metrics |= {f"validation/{name}": row[f"cv_{name}"] for name in ("top1", "log_loss")}
        tags = {name: self.tags[name] for name in _CHILD_TAGS if name in self.tags}
        tags |= {"mlflow.parentRunId": self.run_id, "reused": str(row["reused"]).lower()}
        plan_name = "" if plan == "frozen" else f"{plan} "
        name = f"{plan_name}{row['method']} {row['fraction']:g} seed {row['seed']}"

        def create_child(client: "MlflowClient", run_id: str) -> None:
            child = client.create_run(self.experiment, tags=tags, run_name=name).info.run_id
            try:
                log_batch(client, child, params, metrics)
            finally:
                client.set_terminated(child, "FAILED" if sys.exception() else "FINISHED")

        self.call(create_child)

    def finish(self, status: str, error: BaseException | None = None) -> None:
        """Close the run as `FINISHED`, `FAILED` or `KILLED`; the error becomes a tag."""
        if os.getpid() != self._owner or not self._lock.is_locked:
            return
        atexit.unregister(self.finish)
        if error is not None:
            self.set_tags({"error": " ".join(f"{type(error).__name__}: {error}".split())[:500]})
        self.call("set_terminated", status)
        self._lock.release()
        if not self.is_lost:  # else the next run closes this one as KILLED
            Path(self._lock.lock_file).unlink()


def close_dead_runs(client: "MlflowClient", experiment: str, locks: Path) -> None:
    """Set runs whose process ended without closing them, and their children, to KILLED."""
    for path in locks.glob("*"):
        with suppress(Timeout), FileLock(path, timeout=0):  # the living hold theirs
            query = f"tags.process = '{path.name}' and attributes.status = 'RUNNING'"
            for run in client.search_runs([experiment], query):
                client.set_terminated(run.info.run_id, "KILLED")
                path.unlink(missing_ok=True)


def log_batch(
    client: "MlflowClient",
    run_id: str,
    params: Mapping[str, Any],
    metrics: Mapping[str, float],
    step: int | None = None,
) -> None:
    """Log parameters, and metrics at a step, in the portions and lengths that MLflow takes."""
    from mlflow.entities import Metric, Param

    now_ms = int(time.time() * 1000)
    texts = [Param(_valid(name), as_text(value)[:6000]) for name, value in params.items()]
    points = [Metric(_valid(n), float(v), now_ms, step or 0) for n, v in metrics.items()]
    for start in range(0, max(len(texts), len(points)), 100):
        batch = slice(start, start + 100)
        client.log_batch(run_id, metrics=points[batch], params=texts[batch])


def _valid(name: str) -> str:
    return re.sub(r"[^\w\-. :/]", "_", name, flags=re.ASCII)[:250]
