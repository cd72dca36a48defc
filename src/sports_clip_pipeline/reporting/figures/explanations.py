"""How much better maps are than maps that know nothing."""

from __future__ import annotations

from typing import Any

import pandas as pd
import plotly.graph_objects as go

from sports_clip_pipeline.explain.names import METHODS
from sports_clip_pipeline.reporting.frames import records
from sports_clip_pipeline.reporting.labels import points
from sports_clip_pipeline.reporting.theme import INK, MUTED, axis, layout, marker, series_tone

MEASURES = {"road": "ROAD", "insertion": "Insertion", "deletion": "Deletion"}
TARGETS = {"classifier": "Classifier", "prompts": "Prompts through CLIP"}
_GAP, _ASIDE, _ROW = 0.04, 0.16, 44


def floor_panels(summary: pd.DataFrame) -> go.Figure:
    """A panel a measure: each method's difference to the better floor, with its interval.

    Args:
        summary: `target`, `method`, `photographs_of`, `measure`, `photographs`, `floor`,
            `difference` (> 0 is better than the floor), `difference_low`, `difference_high`,
            `beats_floors`; may be empty.
    Returns: filled where the interval lies above zero; without rows, a figure without traces.
    """
    figure = go.Figure()
    if summary.empty:
        return figure
    judged = summary[(summary["photographs_of"] == "all") & summary["difference"].notna()]
    methods = [name for name in METHODS if name in set(judged["method"])]
    shown = [name for name in MEASURES if name in set(judged["measure"])]
    if not shown:
        return figure
    width = (1 - _GAP * (len(shown) - 1)) / len(shown)
    options: dict[str, Any] = {"annotations": []}
    for number, measure in enumerate(shown):
        start = number * (width + _GAP)
        mark = "" if number == 0 else str(number + 1)
        options[f"xaxis{mark}"] = axis(domain=[start, start + width], anchor=f"y{mark}")
        options[f"yaxis{mark}"] = _rows(methods, number == 0, f"x{mark}")
        options["annotations"].append(_title(MEASURES[measure], start))
        part = judged[judged["measure"] == measure]
        figure.add_trace(_zero(len(methods), mark))
        for place, target in enumerate(part["target"].unique()):
            own = part[part["target"] == target]
            figure.add_trace(_dots(own, methods, str(target), place, mark, number == 0))
    height = 130 + _ROW * len(methods)
    figure.update_layout(layout(height, margin={"l": 8, "r": 12, "t": 56, "b": 8}, **options))
    figure.update_layout(legend_y=1 + 34 / max(height - 90, 1))
    return figure


def _rows(methods: list[str], named: bool, anchor: str) -> dict[str, Any]:
    names = [METHODS[name] for name in methods]
    places = list(range(len(methods)))
    ends = [len(methods) - 0.5, -0.5]
    return axis(
        tickmode="array", tickvals=places, ticktext=names, showticklabels=named, range=ends,
        anchor=anchor,
    )  # fmt: skip


def _title(words: str, start: float) -> dict[str, Any]:
    font = {"size": 12, "color": INK[0]}
    place = {"x": start, "xref": "paper", "xanchor": "left", "y": 1, "yref": "paper"}
    text = f"{words}, points over the better floor"
    return {**place, "yanchor": "bottom", "showarrow": False, "text": text, "font": font}


def _zero(rows: int, mark: str) -> go.Scatter:
    return go.Scatter(
        x=[0, 0],
        y=[-0.5, rows - 0.5],
        xaxis=f"x{mark}",
        yaxis=f"y{mark}",
        mode="lines",
        line={"color": MUTED[0], "width": 1.5, "dash": "dash"},
        hoverinfo="skip",
        showlegend=False,
        name="The better floor",
    )


def _dots(
    own: pd.DataFrame, methods: list[str], target: str, place: int, mark: str, first: bool
) -> go.Scatter:
    tone, symbol = series_tone(place), marker(place)
    lows, highs = own["difference_low"], own["difference_high"]
    return go.Scatter(
        x=(100 * own["difference"]).tolist(),
        y=[methods.index(name) + _ASIDE * (2 * place - 1) for name in own["method"]],
        xaxis=f"x{mark}",
        yaxis=f"y{mark}",
        error_x={
            "type": "data",
            "symmetric": False,
            "array": (100 * (highs - own["difference"])).tolist(),
            "arrayminus": (100 * (own["difference"] - lows)).tolist(),
            "color": tone,
            "thickness": 1.3,
            "width": 3,
        },
        mode="markers",
        marker={
            "color": tone,
            "size": 9,
            "symbol": [symbol if beats else f"{symbol}-open" for beats in own["beats_floors"]],
            "line": {"width": 2, "color": tone},
        },
        customdata=[_words(row) for row in records(own)],
        hovertemplate="%{customdata}<extra>%{fullData.name}</extra>",
        name=TARGETS.get(target, target),
        legendgroup=target,
        showlegend=first,
    )


def _words(row: dict[str, Any]) -> str:
    ends = f"{points(row['difference_low'])} to {points(row['difference_high'])}"
    return (
        f"{METHODS[row['method']]}, {row['photographs']} photographs<br>"
        f"{points(row['difference'])} points over the {row['floor']} map, 95 % interval {ends}"
    )
