"""Shares as dots with whiskers, a row each, its title above it so that narrow screens have room."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from sports_clip_pipeline.report.labels import percent, plot_text
from sports_clip_pipeline.report.theme import INK, axis, layout, marker, series_tone

_LETTERS, _NUMBER, _LINE, _BELOW = 46, 10, 16, 30
_STEPS = (0.01, 0.02, 0.05, 0.1, 0.2)


@dataclass(frozen=True)
class Dots:
    """One series: a share for each row, with the ends of its interval where there is one.

    Attributes:
        name: of the series.
        shares, lows, highs: as many as rows; NaN where there is none.
        words: what a dot says when it is pointed at; as many as rows.
    """

    name: str
    shares: Sequence[float]
    words: Sequence[str]
    lows: Sequence[float] = ()
    highs: Sequence[float] = ()


def dot_rows(titles: Sequence[str], series: Sequence[Dots]) -> go.Figure:
    """Rows from top to bottom; one series shows its numbers, several have a legend.

    Args:
        titles: of the rows; long ones take several lines.
    """
    letters = _LETTERS - (_NUMBER if len(series) == 1 else 0)
    lines = [textwrap.wrap(title, letters) or [""] for title in titles]
    places, height = _places(lines)
    figure = go.Figure([_trace(one, n, places, len(series)) for n, one in enumerate(series)])
    notes = _titles(lines, places)
    if len(series) == 1:
        notes += _numbers(series[0].shares, places)
    figure.update_layout(layout(height + 60, annotations=notes))
    ends = [share for one in series for share in (*one.shares, *one.lows, *one.highs)]
    known = [share for share in ends if not math.isnan(share)]
    figure.update_xaxes(_share_axis(min(known, default=0.0), max(known, default=1.0)))
    figure.update_yaxes(axis(range=[height, 0], showticklabels=False, showgrid=False, ticks=""))
    return figure


def _places(lines: Sequence[Sequence[str]]) -> tuple[list[float], int]:
    """Where the dots of each row stand, in pixels from the top, and the height of all rows."""
    places, top = [], 0
    for row in lines:
        top += _LINE * len(row) + _BELOW
        places.append(float(top - _BELOW / 2 - 3))
    return places, top


def _titles(lines: Sequence[Sequence[str]], places: Sequence[float]) -> list[dict[str, Any]]:
    texts = ["<br>".join(map(plot_text, row)) for row in lines]
    return [_note(text, place, 0, "left") for text, place in zip(texts, places, strict=True)]


def _numbers(shares: Sequence[float], places: Sequence[float]) -> list[dict[str, Any]]:
    return [_note(percent(n), place, 1, "right") for n, place in zip(shares, places, strict=True)]


def _note(text: str, place: float, x: int, side: str) -> dict[str, Any]:
    """Text that stands on its row's dots, at the left or the right end."""
    across = {"x": x, "xref": "paper", "xanchor": side, "align": side}
    font = {"size": 12, "color": INK[0]}
    up = {"y": place - 7, "yanchor": "bottom"}
    return {**across, **up, "showarrow": False, "text": text, "font": font}


def _trace(one: Dots, number: int, places: Sequence[float], of: int) -> go.Scatter:
    tone = series_tone(number)
    more: dict[str, Any] = {}
    if one.lows:
        more["error_x"] = {
            "type": "data",
            "symmetric": False,
            "array": [high - at for high, at in zip(one.highs, one.shares, strict=True)],
            "arrayminus": [at - low for at, low in zip(one.shares, one.lows, strict=True)],
            "color": tone,
            "thickness": 1.5,
            "width": 4,
        }
    return go.Scatter(
        x=list(one.shares),
        y=list(places),
        customdata=list(one.words),
        hovertemplate="%{customdata}<extra>%{fullData.name}</extra>",
        marker={"color": tone, "symbol": marker(number), "size": 9},
        legendgroup=one.name,
        showlegend=of > 1,
        name=plot_text(one.name),
        mode="markers",
        **more,
    )


def _share_axis(low: float, high: float) -> dict[str, Any]:
    """Percent, from a little below the lowest to a little above the highest, never beyond 0–1."""
    pad = max(0.02, 0.08 * (high - low))
    start, end = max(0.0, low - pad), min(1.0, high + pad)
    step = next((step for step in _STEPS if (end - start) / step <= 6), _STEPS[-1])
    first, last = math.ceil(start / step), math.floor(end / step)
    ticks = [round(n * step, 6) for n in range(first, last + 1)]
    names = [f"{100 * tick:g} %" for tick in ticks]
    ends = [start - 0.01 * (end - start), end + 0.01 * (end - start)]
    return axis(range=ends, tickmode="array", tickvals=ticks, ticktext=names)
