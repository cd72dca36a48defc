"""Reading runs of a study back from MLflow: what they were set to, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow import MlflowClient

CURVE = "learning_curve/best_by_validation"
"""The metric whose steps are numbers of labels."""
SHARES: Mapping[str, str] = {
    "test/zero_shot_top1": "zero-shot top-1",
    "test/t2i_r5": "text to image R@5",
    "test/i2t_r5": "image to text R@5",
}
"""Single results that runs are compared by, and what they are called."""
EARLIER = 7
"""Runs that one is drawn beside, at most."""


@dataclass(frozen=True)
class SeenRun:
    """A parent run.

    Attributes:
        run_id, name: MLflow's. start_ms: since 1970.
        params: flat. shares: the single results it has, by metric.
        curve: top-1 on the evaluation part by number of labels.
        data: the digest of its data, or nothing.
    """

    run_id: str
    name: str
    start_ms: int
    params: Mapping[str, str]
    shares: Mapping[str, float]
    curve: Mapping[int, float]
    data: str = ""

    @property
    def label(self) -> str:
        """When it began, and the start of its id: what tells it from others of its name."""
        began = datetime.fromtimestamp(self.start_ms / 1000, UTC)
        return f"{began:%d %b %H:%M} · {self.run_id[:6]}"

    @property
    def has_results(self) -> bool:
        """Whether there is something to compare."""
        return bool(self.shares or self.curve)


def this_and_earlier(
    client: MlflowClient, experiment_id: str, run_id: str, study: str
) -> list[SeenRun]:
    """The run, then the finished runs of its study that began before it, the latest first.

    Runs without results are left out.
    """
    this = client.get_run(run_id)
    query = (
        f"tags.study = '{study}' and tags.pipelines LIKE '%' and attributes.status = 'FINISHED' "
        f"and attributes.start_time < {this.info.start_time}"
    )
    found = client.search_runs(
        [experiment_id], query, max_results=5 * EARLIER, order_by=["attributes.start_time DESC"]
    )
    earlier = (_seen(client, run) for run in found if run.info.run_id != run_id)
    with_results = [run for run in earlier if run.has_results]
    return [_seen(client, this), *with_results[:EARLIER]]


def differing(runs: Sequence[SeenRun]) -> dict[str, list[str | None]]:
    """Parameters that are not alike in all runs: their value in each, None where it has none.

    A parameter counts only among runs that have it: one that ran other pipelines is not different
    in what it did not use.
    """
    names = sorted({name for run in runs for name in run.params})
    values = {name: [run.params.get(name) for run in runs] for name in names}
    return {name: row for name, row in values.items() if len(set(row) - {None}) > 1}


def _seen(client: MlflowClient, run: Any) -> SeenRun:
    metrics = run.data.metrics
    curve = client.get_metric_history(run.info.run_id, CURVE) if CURVE in metrics else []
    return SeenRun(
        run.info.run_id,
        run.info.run_name,
        run.info.start_time,
        run.data.params,
        {name: metrics[name] for name in SHARES if name in metrics},
        {point.step: point.value for point in sorted(curve, key=lambda point: point.step)},
        run.data.tags.get("data_digest", ""),
    )
