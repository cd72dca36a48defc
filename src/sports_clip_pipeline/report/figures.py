"""Colours, layout and building blocks of the plotly figures, in a light and a dark theme.

Figures are stored in the light colours. The page swaps each for its dark twin, so figures may use
no colours but those of `TONES`.
"""

import math
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from sports_clip_pipeline.report import formatting as fmt

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"

# (light, dark)
PAPER = ("#fdfdfb", "#15171a")
INK = ("#1d2024", "#e9e9e4")
MUTED = ("#5a616b", "#a4abb4")
GRID = ("#e4e5e1", "#2c3137")
HOVER = ("#f2f3ef", "#23272c")
CLEAR = "rgba(0,0,0,0)"

# Differ in lightness as well as hue, for colour-blind readers; markers differ too.
COLORS = {
    "blue": ("#0b5cad", "#74b4f3"),
    "orange": ("#bf4a0b", "#f39a68"),
    "green": ("#00755a", "#52c7a4"),
    "purple": ("#8a3a86", "#d9a0d2"),
    "ochre": ("#806000", "#e2bd55"),
    "red": ("#a02b45", "#f18b9d"),
    "teal": ("#006e86", "#67cbe1"),
    "grey": ("#454c56", "#c3c9d0"),
}
SERIES = tuple(COLORS.values())
MARKERS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "triangle-down", "star")
SCALE = (
    (0.0, ("#f4f5f1", "#1d2126")),
    (0.25, ("#bdd3e8", "#274669")),
    (0.6, ("#4f8fcb", "#4f8fcc")),
    (1.0, ("#08335f", "#d3e8fc")),
)
# For cells with a number in them: INK is legible on all of it.
SOFT_SCALE = ((0.0, ("#f6f7f3", "#1b1f24")), (1.0, ("#74a9dc", "#2f6299")))


def _translucent(tone: str, alpha: float) -> str:
    red, green, blue = (int(tone[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha})"


BANDS = tuple((_translucent(light, 0.13), _translucent(dark, 0.17)) for light, dark in SERIES)

TONES: dict[str, str] = dict(
    (PAPER, INK, MUTED, GRID, HOVER, *SERIES, *BANDS, *(pair for _, pair in (*SCALE, *SOFT_SCALE)))
)
"""Every light colour and its dark twin."""

_HOVER_TEXT = "%{customdata}<extra>%{fullData.name}</extra>"


def series_tone(index: int) -> str:
    """Colour of series number `index`; the palette repeats."""
    return SERIES[index % len(SERIES)][0]


def layout(height: int, **more: Any) -> dict[str, Any]:
    """Layout of every figure: clear background, thin grid, legend above. `height` in pixels."""
    font = {"family": FONT, "size": 12, "color": INK[0]}
    return {
        "template": None,
        "height": height,
        "paper_bgcolor": CLEAR,
        "plot_bgcolor": CLEAR,
        "font": font,
        "margin": {"l": 8, "r": 12, "t": 12, "b": 8},
        "hoverlabel": {
            "bgcolor": HOVER[0], "bordercolor": GRID[0], "font": font, "align": "left",
        },
        "legend": {"orientation": "h", "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom"},
        **more,
    }  # fmt: skip


def axis(title: str | None = None, **more: Any) -> dict[str, Any]:
    """An axis with a thin grid and automatic margins."""
    base: dict[str, Any] = {
        "gridcolor": GRID[0],
        "linecolor": GRID[0],
        "tickcolor": GRID[0],
        "tickfont": {"color": MUTED[0], "size": 11},
        "zeroline": False,
        "automargin": True,
    }
    if title:
        base["title"] = {"text": title, "font": {"color": MUTED[0], "size": 12}, "standoff": 10}
    return {**base, **more}


def share_axis(title: str | None = None, step: float = 0.2) -> dict[str, Any]:
    """An axis for shares from 0 to 1, labelled in percent."""
    ticks = [round(i * step, 6) for i in range(round(1 / step) + 1)]
    names = [f"{100 * tick:g} %" for tick in ticks]
    return axis(title, range=[0, 1.02], tickmode="array", tickvals=ticks, ticktext=names)


def category_axis(names: Sequence[str], title: str | None = None, **more: Any) -> dict[str, Any]:
    """An axis with a tick for each name, by index, as two names may be equal."""
    ticks = {"tickmode": "array", "tickvals": list(range(len(names))), "ticktext": list(names)}
    return axis(title, **{**ticks, "showgrid": False, **more})


def zero_label_position(curves: pd.DataFrame) -> float:
    """Position of zero labels on the log axis of `fraction`: left of the smallest one."""
    return float(curves["fraction"].min()) / 2.2


def fraction_axis(curves: pd.DataFrame, zero_labels: bool = False) -> dict[str, Any]:
    """A log axis with a tick for each label fraction and the number of labels below it.

    Args:
        curves: `fraction` in (0, 1], `labels`.
        zero_labels: whether there is a tick for results without labels.
    """
    labels = curves.groupby("fraction")["labels"].max().sort_index()
    counts = zip(map(float, labels.index), labels, strict=True)
    ticks = {share: f"{fmt.fraction_name(share)}<br>{fmt.count(n)}" for share, n in counts}
    if zero_labels:
        ticks = {zero_label_position(curves): "none<br>0", **ticks}
    low, high = math.log10(min(ticks)), math.log10(max(ticks))
    pad = 0.04 * max(high - low, 1.0)
    return axis(
        "Share of labels used, and images",
        type="log",
        tickmode="array",
        tickvals=list(ticks),
        ticktext=list(ticks.values()),
        tickangle=0,
        tickfont={"color": MUTED[0], "size": 10},
        range=[low - pad, high + pad],
        showgrid=False,
    )


def error_bars(
    values: Iterable[float], lows: Iterable[float], highs: Iterable[float], color: str
) -> dict[str, Any]:
    """Error bars from `lows` to `highs` in plotly's form."""
    rows = list(zip(values, lows, highs, strict=True))
    return {
        "type": "data",
        "symmetric": False,
        "array": [high - value for value, _, high in rows],
        "arrayminus": [value - low for value, low, _ in rows],
        "color": color,
        "thickness": 1.3,
        "width": 3,
    }


def scatter(
    x: Iterable[Any], y: Iterable[Any], hover: Iterable[str] = (), **more: Any
) -> go.Scatter:
    """A scatter trace with a hover text for each point, or without any."""
    texts = {"customdata": list(hover), "hovertemplate": _HOVER_TEXT}
    shown = texts if texts["customdata"] else {"hoverinfo": "skip"}
    return go.Scatter(x=list(x), y=list(y), **{**shown, **more})


def count_bars(names: Sequence[str], counts: Sequence[int], unit: str, color: str) -> go.Figure:
    """Horizontal bars of counts with their numbers, from top to bottom."""
    bars = go.Bar(
        x=list(counts),
        y=list(range(len(names))),
        orientation="h",
        customdata=[fmt.plot_text(name) for name in names],
        text=[fmt.count(n) for n in counts],
        textposition="outside",
        textfont={"color": INK[0], "size": 11},
        cliponaxis=False,
        marker={"color": color},
        hovertemplate=f"%{{customdata}}<br>%{{text}} {unit}<extra></extra>",
        showlegend=False,
    )
    ends = [0, 1.16 * max([*counts, 1])]
    horizontal = axis(range=ends, showticklabels=False, showgrid=False, ticks="")
    vertical = category_axis(bars.customdata, autorange="reversed")
    height = 60 + 24 * max(len(names), 3)
    return go.Figure(bars).update_layout(
        layout(height, xaxis=horizontal, yaxis=vertical, bargap=0.35)
    )


def heat_map(
    shares: Sequence[Sequence[float]],
    hover: Any,
    stops: tuple[tuple[float, tuple[str, str]], ...],
    **more: Any,
) -> go.Heatmap:
    """Cells coloured by shares in [0, 1] on `SCALE` or `SOFT_SCALE`, with a hover text for each."""
    return go.Heatmap(
        z=shares,
        customdata=hover,
        hovertemplate="%{customdata}<extra></extra>",
        colorscale=[[stop, light] for stop, (light, _) in stops],
        zmin=0,
        zmax=1,
        showscale=False,
        **more,
    )


@dataclass(frozen=True)
class Series:
    """A series of an interval plot: shares and the ends of their intervals, one for each row."""

    name: str
    shares: Sequence[float]
    lows: Sequence[float] = ()
    highs: Sequence[float] = ()


_LETTERS, _NUMBER_LETTERS, _LINE_PX, _POINT_PX = 46, 10, 16, 30


def interval_plot(titles: Sequence[str], series: Sequence[Series]) -> go.Figure:
    """Shares as points with error bars; each row's title stands above it, for narrow screens.

    Args:
        titles: of the rows, from top to bottom; long ones are wrapped.
        series: one alone shows its numbers, several have a legend.
    """
    alone = len(series) == 1
    letters = _LETTERS - (_NUMBER_LETTERS if alone else 0)
    positions, texts, height = [], [], 0  # positions of the points, in pixels from the top
    for title in titles:
        lines = textwrap.wrap(title, letters)
        height += _LINE_PX * len(lines) + _POINT_PX
        positions.append(float(height - _POINT_PX / 2 - 3))
        texts.append("<br>".join(map(fmt.plot_text, lines)))
    notes = [_note(text, y, 0, "left") for text, y in zip(texts, positions, strict=True)]
    if alone:
        numbers = zip(map(fmt.percent, series[0].shares), positions, strict=True)
        notes += [_note(number, y, 1, "right") for number, y in numbers]
    figure = go.Figure().update_layout(layout(height + 60, annotations=notes))
    for i, one in enumerate(series):
        tone = series_tone(i)
        entry = {"legendgroup": one.name, "showlegend": not alone, "name": fmt.plot_text(one.name)}
        marker = {"color": tone, "symbol": MARKERS[i], "size": 9}
        hover = list(map(fmt.percent, one.shares))
        bars: dict[str, Any] = {}
        if one.lows:
            spreads = zip(hover, one.lows, one.highs, strict=True)
            hover = [f"{share}, {fmt.INTERVAL} {fmt.interval(*ends)}" for share, *ends in spreads]
            bars = {"error_x": error_bars(one.shares, one.lows, one.highs, tone)}
        style = {"mode": "markers", "marker": marker, **entry, **bars}
        figure.add_trace(scatter(one.shares, positions, hover, **style))
    shares = [share for one in series for share in (*one.shares, *one.lows, *one.highs)]
    ends = [share for share in shares if not math.isnan(share)]
    return figure.update_layout(
        xaxis=_zoomed_axis(min(ends), max(ends)),
        yaxis=axis(range=[height, 0], showticklabels=False, showgrid=False, ticks=""),
    )


def _note(text: str, y: float, x: int, side: str) -> dict[str, Any]:
    position = {"x": x, "xref": "paper", "xanchor": side, "align": side, "y": y - 7}
    font = {"size": 12, "color": INK[0]}
    return {**position, "yanchor": "bottom", "showarrow": False, "text": text, "font": font}


def _zoomed_axis(low: float, high: float) -> dict[str, Any]:
    """A percent axis around low to high, within 0 to 1."""
    pad = max(0.02, 0.08 * (high - low))
    start, end = max(0.0, low - pad), min(1.0, high + pad)
    step = next((step for step in (0.01, 0.02, 0.05, 0.1) if (end - start) / step <= 6), 0.2)
    ticks = [round(n * step, 6) for n in range(math.ceil(start / step), int(end / step) + 1)]
    names = [f"{100 * tick:g} %" for tick in ticks]
    ends = [start - 0.01 * (end - start), end + 0.01 * (end - start)]
    return axis(range=ends, tickmode="array", tickvals=ticks, ticktext=names)
