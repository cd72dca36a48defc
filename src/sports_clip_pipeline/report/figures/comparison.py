"""Methods against the best of them on the same photographs and seeds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from sports_clip_pipeline.report.figures.cast import Cast
from sports_clip_pipeline.report.figures.fractions import fraction_axis
from sports_clip_pipeline.report.frames import records
from sports_clip_pipeline.report.labels import fraction_name, points
from sports_clip_pipeline.report.theme import MUTED, axis, layout

BEST = "best"
_ASIDE = 1.04


def paired_lines(paired: pd.DataFrame, curves: pd.DataFrame, cast: Cast) -> go.Figure:
    """Difference in points of each method to the best by validation, over the share of labels.

    Args:
        paired: one row a comparison: `fraction`, `method`, `against`, `role` (`best` where
            `against` is the one that validation prefers), `difference`, `low`, `high`
            (differences of shares), `p_holm`, `distinguishable`; may be empty.
        curves: `fraction` and `labels`, for the axis.
    Returns: a trace a method with whiskers, its points filled where they are distinguishable; then
        the zero line. Without comparisons, a figure without traces.
    """
    figure = go.Figure()
    rows = paired[paired["role"] == BEST] if not paired.empty else paired
    if rows.empty:
        return figure
    shown = curves[curves["fraction"].isin(rows["fraction"])]
    figure.add_traces([*_lines(_with_the_best(rows), cast), _zero(shown)])
    vertical = axis("Points to the best by validation")
    figure.update_layout(layout(460, xaxis=fraction_axis(shown), yaxis=vertical))
    return figure


def _with_the_best(rows: pd.DataFrame) -> pd.DataFrame:
    """The comparisons, and at each fraction the best itself, which is level with itself."""
    best = rows.drop_duplicates("fraction").copy()
    best["method"] = best["against"]
    best[["difference", "low", "high"]] = 0.0
    best["distinguishable"] = False
    return pd.concat([rows, best], ignore_index=True)


def _lines(rows: pd.DataFrame, cast: Cast) -> Iterator[go.Scatter]:
    methods = [method for method in cast.methods if method in set(rows["method"])]
    shown = [method for method in methods if method in cast.first]
    for method in methods:
        aside = shown.index(method) - (len(shown) - 1) / 2 if method in shown else 0.0
        yield _line(rows[rows["method"] == method].sort_values("fraction"), cast, aside)


def _line(rows: pd.DataFrame, cast: Cast, aside: float) -> go.Scatter:
    """A method's differences, a little aside so that whiskers do not hide each other."""
    method = rows["method"].iloc[0]
    marker, tone = cast.marker(method), cast.tone(method)
    solid, hollow = marker["symbol"], f"{marker['symbol']}-open"
    whiskers = {
        "type": "data",
        "symmetric": False,
        "array": (100 * (rows["high"] - rows["difference"])).tolist(),
        "arrayminus": (100 * (rows["difference"] - rows["low"])).tolist(),
    }
    return go.Scatter(
        x=[fraction * _ASIDE**aside for fraction in rows["fraction"]],
        y=(100 * rows["difference"]).tolist(),
        error_y={**whiskers, "color": tone, "thickness": 1.2, "width": 3},
        customdata=[_words(row, cast) for row in records(rows)],
        mode="lines+markers",
        line={**cast.line(method), "width": 1.2},
        marker={
            **marker,
            "symbol": [solid if sure else hollow for sure in rows["distinguishable"]],
            "line": {"width": 2, "color": tone},
        },
        hovertemplate="%{customdata}<extra>%{fullData.name}</extra>",
        **cast.trace(method),
    )


def _words(row: dict[str, Any], cast: Cast) -> str:
    share = f"{fraction_name(row['fraction'])} of the labels"
    if row["method"] == row["against"]:
        return f"{share}<br>the best by validation"
    return (
        f"{share}, against {cast.called(row['against'])}<br>"
        f"{points(row['difference'])} points, 95 % interval {points(row['low'])} to "
        f"{points(row['high'])}<br>p {p_value(row['p_holm'])} after Holm"
    )


def p_value(p: float) -> str:
    """A p-value with two digits, or that it is below 0.001."""
    return "< 0.001" if p < 0.001 else f"{p:.2g}"


def _zero(shown: pd.DataFrame) -> go.Scatter:
    return go.Scatter(
        x=[float(shown["fraction"].min()), float(shown["fraction"].max())],
        y=[0, 0],
        mode="lines",
        line={"color": MUTED[0], "width": 1.5, "dash": "dash"},
        hoverinfo="skip",
        legendgroup="best by validation",
        name="Best by validation",
    )
