"""What the machine at hand offers, and how its processes hang together."""

from __future__ import annotations

import os
from multiprocessing import parent_process
from threading import Thread


def cores() -> int:
    """Processor cores that this process may use, at least 1."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def end_with_parent() -> None:
    """In a worker process: end as soon as the process that started it is gone.

    A pool's workers wait on a queue that each of them holds open, so without this they would wait
    for ever after their parent was killed. In a process that nobody started it does nothing.
    """
    parent = parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    Thread(target=watch, name="end-with-parent", daemon=True).start()
