"""Learning curves: accuracy by share of labels used, one line a method."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from sports_clip_pipeline.reporting.frames import records
from sports_clip_pipeline.reporting.labels import (
    count,
    fraction_name,
    interval,
    method_name,
    percent,
    plot_text,
)
from sports_clip_pipeline.reporting.theme import (
    MUTED,
    axis,
    band_tone,
    layout,
    marker,
    series_tone,
    share_axis,
)


def learning_curve(
    curves: pd.DataFrame, zero_shot: Mapping[str, Any], names: Mapping[str, str]
) -> go.Figure:
    """Top-1 of each method over the share of labels, with its 95 % band.

    Args:
        curves: one row a method and fraction: `method`, `fraction` in (0, 1], `labels`, `seeds`,
            `top1_mean`, `top1_low`, `top1_high` as shares.
        zero_shot: `top1` and `chance` as shares, drawn as level lines.
        names: method -> words.
    Returns: log x axis; two traces a method (band, line), then the two level lines.
    """
    figure = go.Figure()
    for place, method in enumerate(dict.fromkeys(curves["method"])):
        rows = curves[curves["method"] == method].sort_values("fraction")
        name = plot_text(method_name(method, names))
        figure.add_trace(_band(rows, place, name))
        figure.add_trace(_line(rows, place, name))
    fractions = sorted(set(curves["fraction"]))
    for name, share, dash in (
        ("Zero-shot", zero_shot["top1"], "dash"),
        ("Chance", zero_shot["chance"], "dot"),
    ):
        figure.add_trace(_level(name, float(share), fractions, dash))
    figure.update_layout(
        layout(
            480,
            xaxis=_fraction_axis(curves),
            yaxis=share_axis(step=0.1),
        )
    )
    return figure


def _band(rows: pd.DataFrame, place: int, name: str) -> go.Scatter:
    """The outline of the intervals, there and back again."""
    fractions = rows["fraction"].tolist()
    return go.Scatter(
        x=fractions + fractions[::-1],
        y=rows["top1_high"].tolist() + rows["top1_low"].tolist()[::-1],
        fill="toself",
        fillcolor=band_tone(place),
        line={"width": 0, "color": band_tone(place)},
        mode="lines",
        hoverinfo="skip",
        showlegend=False,
        legendgroup=name,
        name=name,
    )


def _line(rows: pd.DataFrame, place: int, name: str) -> go.Scatter:
    words = [
        [
            f"{fraction_name(row['fraction'])} of the labels ({count(row['labels'])})",
            f"{percent(row['top1_mean'])}, 95 % interval "
            f"{interval(row['top1_low'], row['top1_high'])}",
        ]
        for row in records(rows)
    ]
    return go.Scatter(
        x=rows["fraction"].tolist(),
        y=rows["top1_mean"].tolist(),
        customdata=words,
        mode="lines+markers",
        line={"color": series_tone(place), "width": 2},
        marker={"color": series_tone(place), "symbol": marker(place), "size": 8},
        hovertemplate="%{customdata[0]}<br>%{customdata[1]}<extra>%{fullData.name}</extra>",
        legendgroup=name,
        name=name,
    )


def _level(name: str, share: float, fractions: list[float], dash: str) -> go.Scatter:
    return go.Scatter(
        x=[fractions[0], fractions[-1]],
        y=[share, share],
        mode="lines",
        line={"color": MUTED[0], "width": 1.5, "dash": dash},
        hovertemplate=f"{percent(share)}<extra>%{{fullData.name}}</extra>",
        legendgroup=name,
        name=name,
    )


def _fraction_axis(curves: pd.DataFrame) -> dict[str, Any]:
    """A log axis with a tick for each fraction and the number of labels below it."""
    labels = curves.groupby("fraction")["labels"].max()
    fractions = labels.index.tolist()
    low, high = math.log10(fractions[0]), math.log10(fractions[-1])
    pad = 0.04 * max(high - low, 1.0)
    return axis(
        "Share of labels used, and photographs",
        type="log",
        tickmode="array",
        tickvals=fractions,
        ticktext=[f"{fraction_name(f)}<br>{count(labels[f])}" for f in fractions],
        range=[low - pad, high + pad],
        showgrid=False,
    )
