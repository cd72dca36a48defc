"""Tables read row by row."""

from __future__ import annotations

from typing import Any

import pandas as pd


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as dictionaries by column name."""
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def by_fraction(frame: pd.DataFrame, prefix: str) -> dict[float, str]:
    """The columns `prefix` + fraction, such as `recall_0.01`, by growing fraction."""
    found = {
        float(name.removeprefix(prefix)): name
        for name in map(str, frame.columns)
        if name.startswith(prefix) and _is_number(name.removeprefix(prefix))
    }
    return dict(sorted(found.items()))


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isdigit()


def tallies(frame: pd.DataFrame, columns: list[str]) -> list[tuple[tuple[str, ...], int]]:
    """How often each combination of values occurs, most frequent first, then by value."""
    counts: dict[tuple[str, ...], int] = {}
    for row in frame[columns].itertuples(index=False, name=None):
        key = tuple(str(value) for value in row)
        counts[key] = counts.get(key, 0) + 1
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))
