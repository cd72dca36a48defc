"""The way from a run to the store, which never holds the run up and loses nothing.

A store in the project is written to at once. To a server goes a thread of its own, from a queue
with bounds. What the store does not take, and what has no room in the queue, goes to the outbox in
order, and so does all that follows: one place holds the rest of the record.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from sports_clip_pipeline.tracking.operations import Compare, Operation, Register, in_words, size_of
from sports_clip_pipeline.tracking.outbox import Outbox

ROOM = 2_000
"""Operations that wait at most for a server."""
ROOM_CHARACTERS = 64_000_000
"""Characters that they hold at most."""
STALL_S = 15.0
"""A server that finishes no operation for so long is not waited for when the run ends."""
CLOSE_S = 120.0
"""Nor is one that is still busy after this."""

Tell = Callable[[str, Exception | None], None]
"""Warns of what could not be recorded; None stands for a queue without room."""


class Lane:
    """Takes operations in order and does them at once."""

    def __init__(self, do: Callable[[Operation], None], outbox: Outbox, tell: Tell) -> None:
        """The lane to one store.

        Args:
            do: does an operation, or raises.
            outbox: takes what is not done.
            tell: warns of the first failure; later ones are of the same kind.
        """
        self._do, self._outbox, self._tell = do, outbox, tell
        self._count = 0
        self.is_cut = self.is_lost = False

    @property
    def is_whole(self) -> bool:
        """Whether nothing had to be kept: the store has it all."""
        return not (self.is_cut or self.is_lost or self._outbox.is_used)

    def put(self, operation: Operation) -> None:
        """Record an operation, now or later.

        Raises: MlflowException: the store finds the operation itself wrong.
        """
        self._count += 1
        if self.is_cut:
            self._keep(self._count, operation)
            return
        try:
            self._do(operation)
        except Exception as error:
            if not is_gone(error) and not isinstance(operation, (Compare, Register)):
                raise
            self._failed(self._count, operation, error)

    def close(self) -> None:
        """Bring what waits to the store or the outbox."""
        self._outbox.close()

    def _failed(self, number: int, operation: Operation, error: Exception) -> None:
        """Keep what failed; where the store is gone, everything after it too."""
        self.is_cut = self.is_cut or is_gone(error)
        self._tell(in_words(operation), error)
        self._keep(number, operation)

    def _keep(self, number: int, operation: Operation) -> None:
        if self.is_lost:
            return
        try:
            self._outbox.keep(number, operation)
        except OSError as error:
            self.is_lost = True
            self._tell(f"{in_words(operation)}, and the outbox cannot keep it", error)


class QueuedLane(Lane):
    """Takes operations in order; a thread does them."""

    def __init__(self, do: Callable[[Operation], None], outbox: Outbox, tell: Tell) -> None:
        super().__init__(do, outbox, tell)
        self._waiting: deque[tuple[int, Operation]] = deque()
        self._held = 0
        self._changed = threading.Condition()
        self._closing = False
        self._done = 0
        threading.Thread(target=self._work, name="mlflow", daemon=True).start()

    def put(self, operation: Operation) -> None:
        """Queue an operation; keep it in the outbox where there is no room."""
        with self._changed:
            self._count += 1
            full = len(self._waiting) >= ROOM or self._held + size_of(operation) > ROOM_CHARACTERS
            if full and not self.is_cut:
                self.is_cut = True
                self._tell(in_words(operation), None)
            if self.is_cut:
                self._keep(self._count, operation)
                return
            self._waiting.append((self._count, operation))
            self._held += size_of(operation)
            self._changed.notify_all()

    def close(self, stall_s: float = STALL_S, at_most_s: float = CLOSE_S) -> None:
        """Wait for the thread while it gets on; the rest goes to the outbox."""
        end_s = time.monotonic() + at_most_s
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            done, since_s = self._done, time.monotonic()
            while self._waiting and time.monotonic() < min(end_s, since_s + stall_s):
                self._changed.wait(0.5)
                if self._done != done:
                    done, since_s = self._done, time.monotonic()
            if self._waiting:
                what, self.is_cut = in_words(self._waiting[0][1]), True
                self._tell(what, TimeoutError(f"no answer within {stall_s:g} s"))
                self._keep_waiting()
        super().close()

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._waiting:
                    if self._closing:
                        return
                    self._changed.wait()
                number, operation = self._waiting[0]
            failure = self._attempt(operation)
            with self._changed:
                if not self._waiting or self._waiting[0][0] != number:
                    return  # the run has ended meanwhile, and kept this operation too
                self._take_first()
                if failure is not None:
                    self._failed(number, operation, failure)
                if failure is not None and is_gone(failure):
                    self._keep_waiting()
                self._changed.notify_all()

    def _attempt(self, operation: Operation) -> Exception | None:
        try:
            self._do(operation)
        except Exception as error:  # the thread must live, or nobody would say what is lost
            return error
        return None

    def _take_first(self) -> None:
        self._held -= size_of(self._waiting.popleft()[1])
        self._done += 1

    def _keep_waiting(self) -> None:
        while self._waiting:
            self._keep(*self._waiting[0])
            self._take_first()


def is_gone(error: Exception) -> bool:
    """Whether the store itself fails, not just what it was asked to do."""
    from mlflow.exceptions import MlflowException

    refused = getattr(error, "error_code", "") == "INVALID_PARAMETER_VALUE"
    return isinstance(error, (MlflowException, OSError)) and not refused
