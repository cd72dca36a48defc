"""An evaluation log of looks at the evaluation part.

Every look at held-out photographs that leads to a change makes them a little less held out
(Dwork et al. 2015). The evaluation log does not prevent it; it says how often it happened.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sports_clip_pipeline.io.fingerprint import fingerprint

_NOT_CONTENT = ("time_utc", "commit")


@dataclass(frozen=True)
class Evaluation:
    """What was looked at, when, and by which code.

    Attributes:
        time_utc: ISO 8601 with offset, e.g. `2026-01-31T12:00:00+00:00`.
        commit: of the code; not part of the content, as code may change without effect.
        arms: number judged. methods: their names.
        parameters_sha256: digest of the parameters. data_digest: digest of the data.
        chosen: the classifier that is shipped. chosen_top1: its accuracy, a share.
    """

    time_utc: str
    commit: str
    arms: int
    methods: tuple[str, ...]
    parameters_sha256: str
    data_digest: str
    chosen: str
    chosen_top1: float

    def __post_init__(self) -> None:
        try:
            offset = datetime.fromisoformat(self.time_utc).utcoffset()
        except ValueError as error:
            raise ValueError(f"a look's time is ISO 8601, got {self.time_utc!r}") from error
        if offset is None or offset.total_seconds():
            raise ValueError(f"a look's time is in UTC, +00:00, got {self.time_utc!r}")

    @property
    def content(self) -> str:
        """32 hex digits; equal for looks that showed the same, whenever and by whichever commit."""
        values = {key: value for key, value in asdict(self).items() if key not in _NOT_CONTENT}
        return fingerprint({**values, "methods": sorted(self.methods)})


def record_evaluation(looks: Sequence[dict[str, Any]], look: Evaluation) -> list[dict[str, Any]]:
    """The evaluation log with one more look, or with one more repeat of a look that is there already.

    Args: looks: as this function returned them before, oldest first; [] at first. Left as it is.
    Returns: JSON-like records: the fields of `Evaluation`, `content`, `repeats` (0 at first),
        `last_time_utc` and `last_commit` (of the latest repeat).
    """
    content = look.content
    if not any(record["content"] == content for record in looks):
        last = {"last_time_utc": look.time_utc, "last_commit": look.commit}
        fields = {**asdict(look), "methods": sorted(look.methods)}
        return [*map(dict, looks), {"content": content, **fields, "repeats": 0, **last}]
    return [
        _repeated(record, look) if record["content"] == content else dict(record)
        for record in looks
    ]


def summarise_evaluations(looks: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """How often the evaluation part was looked at.

    Returns: `looks` (that differ in content), `repeats`, `since` and `until` (UTC; None where
        there is none), `best_top1` and `latest_top1` (of the classifiers chosen), `sentence`.
    """
    if not looks:
        sentence = "The evaluation photographs were not looked at."
        empty = dict.fromkeys(("since", "until", "best_top1", "latest_top1"))
        return {"looks": 0, "repeats": 0, **empty, "sentence": sentence}
    repeats = sum(record["repeats"] for record in looks)
    since = min(record["time_utc"] for record in looks)
    latest = max(looks, key=lambda record: record["last_time_utc"])
    times = "once" if len(looks) == 1 else f"{len(looks)} times"
    return {
        "looks": len(looks),
        "repeats": repeats,
        "since": since,
        "until": latest["last_time_utc"],
        "best_top1": max(record["chosen_top1"] for record in looks),
        "latest_top1": latest["chosen_top1"],
        "sentence": (
            f"The evaluation photographs were looked at {times} since {since[:10]}, repeats of a "
            f"look not counted ({repeats})."
        ),
    }


def _repeated(record: dict[str, Any], look: Evaluation) -> dict[str, Any]:
    last = {"last_time_utc": look.time_utc, "last_commit": look.commit}
    return {**record, "repeats": record["repeats"] + 1, **last}
