"""The figure of a run beside earlier ones: single results as dots, accuracy by labels as lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from sports_clip_pipeline.report.theme import (
    INK,
    MUTED,
    axis,
    layout,
    series_marker,
    series_tone,
)
from sports_clip_pipeline.tracking.seen import SHARES, SeenRun


def draw(runs: Sequence[SeenRun]) -> go.Figure:
    """Two panels over the same runs, this run in the first tone and in front.

    Args:
        runs: this run first.
    Returns: for each run a trace of its single results, and one of its curve where it has one.
    """
    titles = ("single results", "top-1 by labels, method chosen by validation")
    figure = make_subplots(
        cols=2, column_widths=[0.45, 0.55], horizontal_spacing=0.1, subplot_titles=titles
    )
    for place in reversed(range(len(runs))):
        name = "this run" if place == 0 else runs[place].label
        for column, trace in enumerate(_traces(runs[place], name, place), start=1):
            if trace is not None:
                figure.add_trace(trace, row=1, col=column)
    figure.update_layout(layout(430, margin={"l": 8, "r": 12, "t": 70, "b": 8}))
    figure.update_layout(legend={"traceorder": "reversed", "y": 1.12})
    figure.update_annotations(font={"size": 12, "color": MUTED[0]})
    counts = sorted({count for run in runs for count in run.curve})
    figure.update_xaxes(axis(tickangle=0), row=1, col=1)
    figure.update_xaxes(
        axis("labels", type="log", tickvals=counts, ticktext=[f"{n:,}" for n in counts]),
        row=1,
        col=2,
    )
    figure.update_yaxes(axis(tickformat=".0%"))
    return figure


def _traces(run: SeenRun, name: str, place: int) -> Iterator[go.Scatter | None]:
    tone = series_tone(place)
    look = {
        "name": name,
        "legendgroup": run.run_id,
        "marker": {
            "color": tone,
            "symbol": series_marker(place),
            "size": 12 if place == 0 else 9,
            "line": {"color": INK[0], "width": 1 if place == 0 else 0},
        },
        "hovertemplate": f"%{{x}}: %{{y:.1%}}<extra>{name}</extra>",
    }
    names = {
        metric: words.replace(" R@5", "<br>R@5").replace(" to ", "<br>to ")
        for metric, words in SHARES.items()
    }
    yield go.Scatter(
        x=[names[metric] for metric in run.shares],
        y=list(run.shares.values()),
        mode="markers",
        showlegend=True,
        **look,
    )
    if not run.curve:
        yield None
        return
    yield go.Scatter(
        x=list(run.curve),
        y=list(run.curve.values()),
        mode="lines+markers",
        line={"color": tone, "width": 3 if place == 0 else 1.6},
        showlegend=False,
        **look,
    )
