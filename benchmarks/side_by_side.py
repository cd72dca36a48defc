"""What every comparison shares: whole processes, in turn, on a machine that does nothing else."""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

BUSY_LOAD = 1.5


@dataclass(frozen=True)
class Process:
    """A command as a process of its own.

    Attributes:
        command: with its arguments. cwd: where it runs; None for here.
        before: what has to be done before each run, outside of its time.
    """

    command: Sequence[str | Path]
    cwd: Path | None = None
    before: Callable[[], object] = lambda: None

    def wall_s(self) -> float:
        """Seconds of one run. Raises: RuntimeError: it failed; the end of what it said."""
        self.before()
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
        start = time.perf_counter()
        done = subprocess.run(
            [str(part) for part in self.command],
            cwd=self.cwd, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        elapsed_s = time.perf_counter() - start
        if done.returncode:
            told = (done.stderr or done.stdout)[-1500:]
            raise RuntimeError(f"{self.command[0]} ended with status {done.returncode}: {told}")
        return elapsed_s


def take_turns(sides: Mapping[str, Process], runs: int) -> dict[str, float]:
    """Median seconds of each, run A B A B …, so that whatever else the machine does meets all."""
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(runs):
        for name, side in sides.items():
            taken[name].append(side.wall_s())
    return {name: statistics.median(values) for name, values in taken.items()}


def add_force(parser: argparse.ArgumentParser) -> None:
    """The option to measure on a busy machine too."""
    parser.add_argument("--force", action="store_true", help="measure on a busy machine too")


def refuse_when_busy(force: bool) -> float:
    """The load average; ends the program where it is too high to measure, unless forced."""
    load = os.getloadavg()[0]
    if load > BUSY_LOAD and not force:
        print(
            f"Error: the load average is {load:.1f}, wanted at most {BUSY_LOAD}; "
            "wait until the machine is idle, or measure all the same with --force",
            file=sys.stderr,
        )
        raise SystemExit(1)
    return load


def verdict(ratio: float, wanted: float) -> str:
    """Whether a ratio that should be at least so large is."""
    return f"pass (wanted {wanted:g})" if ratio >= wanted else f"**short** (wanted {wanted:g})"
