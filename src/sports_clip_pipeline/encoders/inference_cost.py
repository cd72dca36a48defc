"""Inference cost: milliseconds of one core per image and parameters, of encoders and methods."""

from __future__ import annotations

import dataclasses
import json
import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sports_clip_pipeline.encoders.backends import TowerProgram
from sports_clip_pipeline.io.state import write_atomically
from sports_clip_pipeline.machine import cores

_CPU_INFO = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class Rate:
    """How fast one backend runs one tower here.

    Attributes:
        machine: processor and cores; a rate of another machine is no rate of this one.
        asked: backend of the configuration, or `auto`.
        backend: the one that was chosen.
        ms_per_item: milliseconds of processor time a photograph and view (or caption) through the
            tower, of the fastest block seen; decoding and resizing are not in it.
    """

    machine: str
    asked: str
    backend: str
    ms_per_item: float


def rate_path(program: TowerProgram) -> Path:
    """Where the rate of a tower is kept."""
    return program.onnx_path.with_suffix(".rate.json")


def keep_rate(program: TowerProgram, rate: Rate) -> None:
    """Write the rate beside the exported tower, unless a faster one of the same kind is there."""
    before = kept_rate(program, rate.asked)
    if before and (before.machine, before.backend) == (rate.machine, rate.backend):
        rate = min(before, rate, key=lambda seen: seen.ms_per_item)
    text = json.dumps(dataclasses.asdict(rate), indent=2) + "\n"
    write_atomically(rate_path(program), text.encode())


def kept_rate(program: TowerProgram, asked: str) -> Rate | None:
    """The rate measured before on this machine for this choice of backend, or None."""
    try:
        rate = Rate(**json.loads(rate_path(program).read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return rate if (rate.machine, rate.asked) == (machine(), asked) else None


def machine() -> str:
    """Processor and usable cores, in words."""
    return f"{_processor()}, {cores()} cores"


def total_price(towers: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """What several towers cost together.

    Args:
        towers: rows with `parameters` int, and `ms_per_image` float or None.
    Returns: `parameters` and `ms_per_image` added up; the latter None where one is not known.
    """
    rows = list(towers)
    times = [row["ms_per_image"] for row in rows]
    known = all(time is not None for time in times)
    return {
        "parameters": sum(row["parameters"] for row in rows),
        "ms_per_image": round(sum(times), 2) if known else None,
    }


def _processor() -> str:
    if _CPU_INFO.is_file():
        for line in _CPU_INFO.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
