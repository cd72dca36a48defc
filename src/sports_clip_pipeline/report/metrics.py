"""The study's numbers as one nested object, the form that scripts rely on."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from sports_clip_pipeline.report.frames import records

ZERO_SHOT = ("top1", "top5", "macro_f1")
DIRECTIONS = ("t2i", "i2t")
RANKS = ("r1", "r5", "r10")
_COUNTS = ("seeds", "labels")


def compose_metrics(
    zero_shot: Mapping[str, Any], retrieval: Mapping[str, Any], *curves: pd.DataFrame
) -> dict[str, Any]:
    """The fixed form: `zero_shot`, `retrieval` by direction, `finetune` by method and fraction.

    Args:
        zero_shot: at least `top1`, `top5`, `macro_f1`, shares.
        retrieval: `{t2i: {r1, r5, r10}, i2t: {...}}`, shares.
        curves: tables with one row a method and fraction, as `learning_curve` takes it, with
            `macro_f1_mean`; of the feature plan, and of the pixel plan where it ran.
    Returns: JSON-like; fractions are strings from "0.01" to "1.0"; every share in [0, 1].
    Raises: ValueError: a share outside [0, 1], a dotted key, or a method and fraction twice.
    """
    finetune: dict[str, dict[str, Any]] = {}
    for row in (row for table in curves for row in records(table)):
        by_fraction = finetune.setdefault(str(row["method"]), {})
        key = fraction_key(row["fraction"])
        if key in by_fraction:
            raise ValueError(f"finetune.{row['method']} holds fraction {key} twice")
        by_fraction[key] = _point(row)
    metrics = {
        "zero_shot": {name: float(zero_shot[name]) for name in ZERO_SHOT},
        "retrieval": {
            way: {rank: float(retrieval[way][rank]) for rank in RANKS} for way in DIRECTIONS
        },
        "finetune": finetune,
    }
    check_metrics(metrics)
    return metrics


def fraction_key(fraction: float) -> str:
    """A fraction as the shortest decimal string: 0.01 is "0.01", 1 is "1.0"."""
    return repr(float(f"{float(fraction):.6g}"))


def check_metrics(metrics: Mapping[str, Any]) -> None:
    """Refuse shares outside [0, 1], and keys of the fixed form that hold a dot.

    Raises: ValueError: names the offending key and its value.
    """
    for path, value in _leaves(metrics, ()):
        dotted = [key for key in path[:2] if "." in key]
        if dotted:
            raise ValueError(f"metrics key {dotted[0]!r} holds a dot")
        if path[-1] in _COUNTS:
            continue
        if not (math.isfinite(value) and 0 <= value <= 1):
            raise ValueError(f"metrics {' > '.join(path)} is no share in [0, 1]: {value!r}")


def _leaves(node: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Numbers with the keys that lead to them; the members of a list share their list's path."""
    if isinstance(node, Mapping):
        for key, child in node.items():
            yield from _leaves(child, (*path, str(key)))
    elif isinstance(node, (list, tuple)):
        for child in node:
            yield path, child
    else:
        yield path, node


def _point(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "top1_mean": float(row["top1_mean"]),
        "top1_ci95": [float(row["top1_low"]), float(row["top1_high"])],
        "macro_f1_mean": float(row["macro_f1_mean"]),
        "seeds": [int(seed) for seed in row["seeds"]],
        "labels": int(row["labels"]),
    }
