"""Building blocks of the plotly figures: axes, error bars, bars, heat maps, interval plots."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from sports_clip_pipeline.report import formatting as fmt
from sports_clip_pipeline.report import theme

HOVER = "%{customdata}<extra>%{fullData.name}</extra>"
_LETTERS, _NUMBER, _LINE, _BELOW = 46, 10, 16, 30
_STEPS = (0.01, 0.02, 0.05, 0.1, 0.2)


def error_bars(
    values: Iterable[float], lows: Iterable[float], highs: Iterable[float], color: str,
    thickness: float = 1.5, width: int = 4,
) -> dict[str, Any]:  # fmt: skip
    """Error bars from `lows` to `highs` in plotly's form."""
    rows = list(zip(values, lows, highs, strict=True))
    return {
        "type": "data",
        "symmetric": False,
        "array": [high - value for value, _, high in rows],
        "arrayminus": [value - low for value, low, _ in rows],
        "color": color,
        "thickness": thickness,
        "width": width,
    }


def scatter(
    x: Iterable[Any], y: Iterable[Any], hover: Iterable[str] = (), **more: Any
) -> go.Scatter:
    """A scatter trace with a hover text for each point, or without any."""
    texts = {"customdata": list(hover), "hovertemplate": HOVER}
    shown = texts if texts["customdata"] else {"hoverinfo": "skip"}
    return go.Scatter(x=list(x), y=list(y), **{**shown, **more})


def category_axis(names: Sequence[str], title: str | None = None, **more: Any) -> dict[str, Any]:
    """An axis with a tick for each name, by index, as two names may be equal."""
    ticks = {"tickmode": "array", "tickvals": list(range(len(names))), "ticktext": list(names)}
    return theme.axis(title, **{**ticks, "showgrid": False, **more})


def zero_label_position(curves: pd.DataFrame) -> float:
    """Position of zero labels on the log axis of `fraction`: left of the smallest one."""
    return float(curves["fraction"].min()) / 2.2


def fraction_axis(curves: pd.DataFrame, *, zero_labels: bool = False) -> dict[str, Any]:
    """A log axis with a tick for each label fraction and the number of labels below it.

    Args:
        curves: `fraction` in (0, 1], `labels`.
        zero_labels: whether there is a tick for results without labels.
    """
    labels = curves.groupby("fraction")["labels"].max().sort_index()
    known = zip(map(float, labels.index), labels, strict=True)
    ticks = {fraction: f"{fmt.fraction_name(fraction)}<br>{fmt.count(n)}" for fraction, n in known}
    if zero_labels:
        ticks = {zero_label_position(curves): "none<br>0", **ticks}
    low, high = math.log10(min(ticks)), math.log10(max(ticks))
    pad = 0.04 * max(high - low, 1.0)
    return theme.axis(
        "Share of labels used, and images",
        type="log",
        tickmode="array",
        tickvals=list(ticks),
        ticktext=list(ticks.values()),
        tickangle=0,
        tickfont={"color": theme.MUTED[0], "size": 10},
        range=[low - pad, high + pad],
        showgrid=False,
    )


def count_bars(names: Sequence[str], counts: Sequence[int], unit: str, color: str) -> go.Figure:
    """Horizontal bars of counts with their numbers, from top to bottom."""
    bars = go.Bar(
        x=list(counts),
        y=list(range(len(names))),
        orientation="h",
        customdata=[fmt.plot_text(name) for name in names],
        text=[fmt.count(n) for n in counts],
        textposition="outside",
        textfont={"color": theme.INK[0], "size": 11},
        cliponaxis=False,
        marker={"color": color},
        hovertemplate=f"%{{customdata}}<br>%{{text}} {unit}<extra></extra>",
        showlegend=False,
    )
    ends = [0, 1.16 * max([*counts, 1])]
    horizontal = theme.axis(range=ends, showticklabels=False, showgrid=False, ticks="")
    vertical = category_axis(bars.customdata, autorange="reversed")
    height = 60 + 24 * max(len(names), 3)
    return go.Figure(bars).update_layout(
        theme.layout(height, xaxis=horizontal, yaxis=vertical, bargap=0.35)
    )


def heat_map(shares: Sequence[Sequence[float]], hover: Any, scale: Any, **more: Any) -> go.Heatmap:
    """Cells coloured by shares in [0, 1]; `hover` is the text of each."""
    return go.Heatmap(
        z=shares,
        customdata=hover,
        hovertemplate="%{customdata}<extra></extra>",
        colorscale=scale,
        zmin=0,
        zmax=1,
        showscale=False,
        **more,
    )


@dataclass(frozen=True)
class Series:
    """A series of an interval plot.

    Attributes:
        name: of the series.
        shares, lows, highs: one for each row; NaN where there is none.
        hover: text of each point.
    """

    name: str
    shares: Sequence[float]
    hover: Sequence[str]
    lows: Sequence[float] = ()
    highs: Sequence[float] = ()


def interval_plot(titles: Sequence[str], series: Sequence[Series]) -> go.Figure:
    """Shares as points with error bars; each row's title stands above it, for narrow screens.

    Args:
        titles: of the rows, from top to bottom; long ones are wrapped.
        series: one alone shows its numbers, several have a legend.
    """
    alone = len(series) == 1
    letters = _LETTERS - (_NUMBER if alone else 0)
    lines = [textwrap.wrap(title, letters) or [""] for title in titles]
    positions, height = [], 0  # of the points, in pixels from the top
    for row in lines:
        height += _LINE * len(row) + _BELOW
        positions.append(float(height - _BELOW / 2 - 3))
    texts = ["<br>".join(map(fmt.plot_text, row)) for row in lines]
    notes = [_note(text, y, 0, "left") for text, y in zip(texts, positions, strict=True)]
    if alone:
        numbers = zip(map(fmt.percent, series[0].shares), positions, strict=True)
        notes += [_note(number, y, 1, "right") for number, y in numbers]
    figure = go.Figure([_points(one, n, positions, not alone) for n, one in enumerate(series)])
    figure.update_layout(theme.layout(height + 60, annotations=notes))
    ends = [share for one in series for share in (*one.shares, *one.lows, *one.highs)]
    known = [share for share in ends if not math.isnan(share)]
    figure.update_xaxes(_zoomed_axis(min(known, default=0.0), max(known, default=1.0)))
    figure.update_yaxes(
        theme.axis(range=[height, 0], showticklabels=False, showgrid=False, ticks="")
    )
    return figure


def _note(text: str, y: float, x: int, side: str) -> dict[str, Any]:
    """Text above its row's points, at the left or the right end."""
    place = {"x": x, "xref": "paper", "xanchor": side, "align": side, "y": y - 7}
    font = {"size": 12, "color": theme.INK[0]}
    return {**place, "yanchor": "bottom", "showarrow": False, "text": text, "font": font}


def _points(one: Series, number: int, positions: list[float], legend: bool) -> go.Scatter:
    tone = theme.series_tone(number)
    bars = {"error_x": error_bars(one.shares, one.lows, one.highs, tone)} if one.lows else {}
    return go.Scatter(
        x=list(one.shares),
        y=positions,
        customdata=list(one.hover),
        hovertemplate=HOVER,
        marker={"color": tone, "symbol": theme.marker(number), "size": 9},
        legendgroup=one.name,
        showlegend=legend,
        name=fmt.plot_text(one.name),
        mode="markers",
        **bars,
    )


def _zoomed_axis(low: float, high: float) -> dict[str, Any]:
    """A percent axis around low to high, within 0 to 1."""
    pad = max(0.02, 0.08 * (high - low))
    start, end = max(0.0, low - pad), min(1.0, high + pad)
    step = next((step for step in _STEPS if (end - start) / step <= 6), _STEPS[-1])
    ticks = [round(n * step, 6) for n in range(math.ceil(start / step), int(end / step) + 1)]
    names = [f"{100 * tick:g} %" for tick in ticks]
    ends = [start - 0.01 * (end - start), end + 0.01 * (end - start)]
    return theme.axis(range=ends, tickmode="array", tickvals=ticks, ticktext=names)
