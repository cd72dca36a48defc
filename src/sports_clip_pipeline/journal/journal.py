"""The journal's interface, which is also its no-op form for tests and notebooks."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    import numpy as np

T = TypeVar("T")


class Tracker(Protocol):
    """Where live metrics go. The tracking hook attaches one; without it they go nowhere."""

    def log_metrics(self, metrics: dict[str, float], step: int | None) -> None:
        """Log metrics on the run at hand."""

    def log_trial(self, row: dict[str, Any], plan: str) -> None:
        """Log a finished trial, a row of the trials table, as a child run."""


class Journal:
    """Progress, resumable state and live metrics of one node; this form keeps state in memory.

    State is addressed by a key (`arms/notebook_mlp/0.01/3`) and a fingerprint of everything it
    depends on; state under another fingerprint is as good as absent.

    Attributes:
        folder: where the state is on disk, for processes that share it; None in memory.
    """

    folder: Path | None = None

    def __init__(self) -> None:
        self._tracker: Tracker | None = None
        self._states: dict[str, tuple[str, dict[str, np.ndarray], dict[str, Any]]] = {}
        self._workspaces: dict[tuple[str, str], Path] = {}

    def attach(self, tracker: Tracker | None) -> None:
        """Send metrics to `tracker` from now on; None sends them nowhere."""
        self._tracker = tracker

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Log metrics (flat names such as `pretrain/loss`) on the run at hand."""
        if self._tracker is not None:
            self._tracker.log_metrics(metrics, step)

    def log_trial(self, row: dict[str, Any], plan: str) -> None:
        """Log a finished trial, a row of the trials table of a plan, as a child run."""
        if self._tracker is not None:
            self._tracker.log_trial(row, plan)

    def progress(
        self, items: Iterable[T], desc: str, total: int | None = None, unit: str = "it"
    ) -> Iterator[T]:
        """Iterate with a progress bar where there is a terminal; this form shows none."""
        yield from items

    def save_state(
        self,
        key: str,
        fingerprint: str,
        arrays: dict[str, np.ndarray] | None = None,
        meta: dict[str, Any] | None = None,
        *,
        keep_former: bool = False,
    ) -> None:
        """Keep named arrays and a JSON-like `meta` under `key`, whole or not at all.

        Args:
            keep_former: keep the state before this one too, for the case that this one is damaged.
        """
        self._states[key] = (fingerprint, dict(arrays or {}), dict(meta or {}))

    def load_state(
        self, key: str, fingerprint: str
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
        """What `save_state` kept under this key and fingerprint, or None."""
        kept = self._states.get(key)
        return None if kept is None or kept[0] != fingerprint else (kept[1], kept[2])

    def drop_state(self, key: str) -> None:
        """Forget what is kept under `key`; nothing kept is no error."""
        self._states.pop(key, None)

    def workspace(self, name: str, fingerprint: str) -> Path:
        """A folder that survives runs as long as the fingerprint stays; emptied when it changes."""
        place = (name, fingerprint)
        if place not in self._workspaces:
            self._workspaces[place] = Path(tempfile.mkdtemp(prefix="journal-"))
        return self._workspaces[place]

    @contextmanager
    def counting(self, desc: str, total: int, unit: str = "it") -> Iterator[Counter]:
        """A progress bar to advance by hand, `with journal.counting(…) as bar: bar.update()`."""
        yield Counter()


class Counter:
    """A progress bar's hand-driven face; this form shows nothing."""

    def update(self, n: int = 1) -> None:
        """Advance by `n`."""

    def set_postfix_str(self, text: str) -> None:
        """Show `text` at the end of the bar."""
