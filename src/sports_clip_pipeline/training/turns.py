"""Which arm each worker of a study fits next."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from typing import TypeVar

from sports_clip_pipeline.training.arm import Arm

Result = TypeVar("Result")
# Arms that a worker has before it, the one it fits among them: it never waits for the next.
_AHEAD = 2


class Turns:
    """Arms by worker: one subset after the other, since methods share what they make of its rows.

    A worker stays with its subset, then takes the next one that is no other worker's; only when
    there is none left does it help another with the last of its arms.
    """

    def __init__(self, arms: Iterable[Arm]) -> None:
        self._waiting = list(arms)
        self._subset: dict[int, tuple[float, int]] = {}

    def next_for(self, worker: int) -> Arm | None:
        """The worker's next arm, or None if none is left."""
        if not self._waiting:
            return None
        own = self._subset.get(worker)
        taken = {subset for other, subset in self._subset.items() if other != worker}
        same = [arm for arm in self._waiting if arm.subset == own]
        free = [arm for arm in self._waiting if arm.subset not in taken]
        arm = (same or free or self._waiting[-1:])[0]
        self._waiting.remove(arm)
        self._subset[worker] = arm.subset
        return arm


def fit_in_turns(
    arms: Sequence[Arm], fit: Callable[[Arm], Result], workers: Sequence[Executor]
) -> Iterator[Result]:
    """What `fit` gives for each arm, as it comes.

    Args:
        workers: executors of one process each.
    Raises: what `fit` raises; BrokenProcessPool: a process has died.
    """
    turns = Turns(arms)
    running: dict[Future[Result], int] = {}

    def start(worker: int) -> None:
        arm = turns.next_for(worker)
        if arm is not None:
            running[workers[worker].submit(fit, arm)] = worker

    for _ in range(_AHEAD):
        for worker in range(len(workers)):
            start(worker)
    while running:
        done, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in done:
            start(running.pop(future))
            yield future.result()
