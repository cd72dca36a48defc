"""Reliability: how often answers are right, by how sure they were."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from sports_clip_pipeline.report.figures.cast import Cast
from sports_clip_pipeline.report.frames import records
from sports_clip_pipeline.report.labels import count, fraction_name, percent
from sports_clip_pipeline.report.theme import MUTED, layout, share_axis


def reliability_panels(reliability: pd.DataFrame, cast: Cast) -> go.Figure:
    """Accuracy over confidence with the fewest labels and with the most, a line a method.

    Args:
        reliability: a row a bin: `method`, `fraction` (0 is zero-shot), `confidence` (mean,
            share), `accuracy` (share), `photographs` (answers in the bin); may be empty.
    Returns: one panel where there is one fraction, two side by side otherwise.
    """
    fractions = end_fractions(reliability)
    if not fractions:
        return go.Figure()
    titles = [f"{fraction_name(fraction)} of the labels" for fraction in fractions]
    figure = make_subplots(
        rows=1,
        cols=len(titles),
        shared_yaxes=True,
        subplot_titles=titles,
        horizontal_spacing=0.13,
    )
    for panel, fraction in enumerate(fractions, start=1):
        figure.add_trace(_diagonal(), row=1, col=panel)
        for trace in _lines(reliability, fraction, cast, first=panel == 1):
            figure.add_trace(trace, row=1, col=panel)
    figure.update_layout(layout(400, margin={"l": 8, "r": 14, "t": 34, "b": 8}))
    figure.update_annotations(font={"size": 12, "color": MUTED[0]})
    figure.update_xaxes(share_axis("Said to be right", step=0.5))
    figure.update_yaxes(share_axis(step=0.25))
    figure.update_yaxes(title=share_axis("Was right")["title"], row=1, col=1)
    return figure


def end_fractions(frame: pd.DataFrame) -> list[float]:
    """The smallest and the largest share of the labels in a table, without zero-shot's 0."""
    found = {float(f) for f in frame["fraction"] if f > 0} if not frame.empty else set()
    return sorted({min(found), max(found)}) if found else []


def _diagonal() -> go.Scatter:
    line = {"color": MUTED[0], "width": 1}
    return go.Scatter(
        x=[0, 1], y=[0, 1], mode="lines", line=line, hoverinfo="skip", showlegend=False
    )


def _lines(
    reliability: pd.DataFrame, fraction: float, cast: Cast, *, first: bool
) -> Iterator[go.Scatter]:
    by_confidence = reliability.sort_values("confidence")
    rows = by_confidence[by_confidence["fraction"] == fraction]
    for method in cast.methods:
        own = rows[rows["method"] == method]
        if not own.empty:
            yield _line(
                own, cast.line(method), cast.marker(method), cast.trace(method), first=first
            )
    zero_shot = by_confidence[by_confidence["fraction"] == 0]
    if not zero_shot.empty:
        line = {"color": MUTED[0], "width": 1.5, "dash": "dash"}
        entry = {"name": "Zero-shot", "legendgroup": "Zero-shot"}
        yield _line(zero_shot, line, {"color": MUTED[0], "symbol": "circle"}, entry, first=first)


def _line(
    rows: pd.DataFrame,
    line: dict[str, Any],
    marker: dict[str, Any],
    entry: dict[str, Any],
    *,
    first: bool,
) -> go.Scatter:
    """One line; its legend entry stands in the first panel alone."""
    return go.Scatter(
        x=rows["confidence"].tolist(),
        y=rows["accuracy"].tolist(),
        customdata=[_words(row) for row in records(rows)],
        mode="lines+markers",
        line=line,
        marker={**marker, "size": 6},
        hovertemplate="%{customdata}<extra>%{fullData.name}</extra>",
        showlegend=first,
        **entry,
    )


def _words(row: dict[str, Any]) -> str:
    return (
        f"{percent(row['confidence'])} sure, {percent(row['accuracy'])} right<br>"
        f"{count(row['photographs'])} answers"
    )
