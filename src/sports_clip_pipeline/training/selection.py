"""Which epoch of pretraining is kept, and when to stop, by recall on held-out captions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from sports_clip_pipeline.journal import Journal

# Text-to-image recall@5 on the validation part: what the captions are learned for.
METRIC = "validation_t2i_r5"

History = Sequence[Mapping[str, float]]


class Resumable(Protocol):
    """A training whose state can be brought back."""

    def restore(self, arrays: dict[str, Any], meta: dict[str, Any]) -> None:
        """Go back to a state."""


def restore_best(
    training: Resumable, keep: str, journal: Journal, key: str, state_fingerprint: str
) -> None:
    """With `keep` = `best`, go back to the best epoch, if one was kept under `key`."""
    best = journal.load_state(key, state_fingerprint) if keep == "best" else None
    if best is not None:
        training.restore(*best)


def is_due(epoch: int, epochs: int, every: int) -> bool:
    """Whether this epoch, counted from 1, is judged: each `every`-th one and the last."""
    return epoch % every == 0 or epoch == epochs


def is_best(history: History) -> bool:
    """Whether the last row is judged and no row before it has as high a recall."""
    if METRIC not in history[-1]:
        return False
    return all(row.get(METRIC, -1.0) < history[-1][METRIC] for row in history[:-1])


def is_over(history: History, patience: int) -> bool:
    """Whether recall has not risen for more epochs than patience allows; 0 waits for ever."""
    recalls = [row[METRIC] for row in history if METRIC in row]
    if not patience or not recalls:
        return False
    best = next(n for n, row in enumerate(history) if row.get(METRIC) == max(recalls))
    return len(history) - 1 - best >= patience
