"""Hear SIGTERM and Ctrl-C between two steps, so that a run is saved before it ends."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class Pause:
    """Whether a signal came, and the end that it asks for."""

    def __init__(self) -> None:
        self.asked = 0
        self._former: dict[int, Any] = {}

    def take(self, number: int, frame: FrameType | None) -> None:
        """Note the signal; a second one ends the process as if nothing heard it."""
        if self.asked:
            self._give_back()
            signal.raise_signal(number)
        self.asked = number

    def end(self) -> None:
        """End as the signal would have: Ctrl-C by KeyboardInterrupt, SIGTERM by its status.

        Raises: KeyboardInterrupt, SystemExit (128 + signal), or what a former handler does.
        """
        former = self._former.get(self.asked)
        self._give_back()
        if callable(former):
            signal.raise_signal(self.asked)
        raise SystemExit(128 + self.asked)

    def _listen(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._former[number] = signal.signal(number, self.take)

    def _give_back(self) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)
        self._former.clear()


@contextmanager
def hearing_signals() -> Iterator[Pause]:
    """Signals are noted rather than obeyed while the block runs; in the main thread only."""
    pause = Pause()
    if threading.current_thread() is threading.main_thread():
        pause._listen()
    try:
        yield pause
    finally:
        pause._give_back()
