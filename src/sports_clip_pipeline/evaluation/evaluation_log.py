"""Evaluation log: counts how often the test images were evaluated.

Every evaluation on held-out images that leads to a change makes them a little less held out
(Dwork et al. 2015). The log does not prevent it; it counts it.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sports_clip_pipeline.io.fingerprint import fingerprint

_NOT_CONTENT = ("time_utc", "commit")


@dataclass(frozen=True)
class Evaluation:
    """One evaluation on the test images.

    Attributes:
        time_utc: ISO 8601 with offset, e.g. `2026-01-31T12:00:00+00:00`.
        commit: of the code; not part of the content, as code may change without effect.
        trials: number evaluated. methods: their names.
        chosen: the method that is exported. chosen_top1: its accuracy, a share.
    """

    time_utc: str
    commit: str
    trials: int
    methods: tuple[str, ...]
    parameters_sha256: str
    data_digest: str
    chosen: str
    chosen_top1: float


def record_evaluation(
    log: Sequence[dict[str, Any]], evaluation: Evaluation
) -> list[dict[str, Any]]:
    """The log with one more evaluation, or with one more repeat of one that it holds.

    Args: log: as this function returned it before, oldest first; [] at first. Left unchanged.
    Returns: JSON-like records: the fields of `Evaluation`, `content`, `repeats` (0 at first),
        `last_time_utc` and `last_commit` (of the latest repeat).
    """
    fields = {**asdict(evaluation), "methods": sorted(evaluation.methods)}
    content = fingerprint({key: fields[key] for key in fields if key not in _NOT_CONTENT})
    last = {"last_time_utc": evaluation.time_utc, "last_commit": evaluation.commit}
    if all(record["content"] != content for record in log):
        return [*log, {"content": content, **fields, "repeats": 0, **last}]
    again = [record | {"repeats": record["repeats"] + 1, **last} for record in log]
    return [new if new["content"] == content else old for old, new in zip(log, again, strict=True)]


def summarise_evaluations(log: Sequence[dict[str, Any]]) -> str:
    """How often the test images were evaluated, as a sentence."""
    if not log:
        return "The test images were not evaluated."
    times = "once" if len(log) == 1 else f"{len(log)} times"
    since = min(record["time_utc"] for record in log)
    repeats = sum(record["repeats"] for record in log)
    return (
        f"The test images were evaluated {times} since {since[:10]}, not counting {repeats} "
        f"{'repeat' if repeats == 1 else 'repeats'} of the same evaluation."
    )
