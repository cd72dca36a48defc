"""Class by class: confusion matrices, and zero-shot beside fine-tuned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from sports_clip_pipeline.report.labels import class_name, count, percent, plot_text
from sports_clip_pipeline.report.theme import (
    GRID,
    MUTED,
    axis,
    color_scale,
    layout,
    series_tone,
    share_axis,
)

STAGES = ("Zero-shot", "Fine-tuned")


def confusion_map(classes: Sequence[str], confusion: Sequence[Sequence[int]]) -> go.Figure:
    """Heat map of the share of each true class (rows) that was named as each class (columns).

    Args:
        classes: the C labels.
        confusion: (C, C) counts, rows true. A class without photographs gives a row of zeros.
    Raises: ValueError: the counts are not C x C.
    """
    if len(confusion) != len(classes) or any(len(row) != len(classes) for row in confusion):
        raise ValueError(f"{len(classes)} classes, but the counts are not of that size squared")
    shares = [[n / max(sum(row), 1) for n in row] for row in confusion]
    heat = go.Heatmap(
        z=shares,
        customdata=_cells(classes, confusion),
        hovertemplate="%{customdata}<extra></extra>",
        colorscale=color_scale(),
        zmin=0,
        zmax=1,
        xgap=1,
        ygap=1,
        showscale=False,
    )
    figure = go.Figure(heat)
    figure.update_layout(layout(160 + 19 * max(len(classes), 8)))
    figure.update_xaxes(_class_axis(classes, "Named as", tickangle=-90))
    figure.update_yaxes(_class_axis(classes, "True class", autorange="reversed"))
    return figure


def _cells(classes: Sequence[str], confusion: Sequence[Sequence[int]]) -> list[list[str]]:
    """What each square says: true class, answer, and how many of how many."""
    return [
        [
            f"{_name(true)} named as {_name(said)}<br>"
            f"{count(n)} of {count(sum(row))} ({percent(n / max(sum(row), 1))})"
            for said, n in zip(classes, row, strict=True)
        ]
        for true, row in zip(classes, confusion, strict=True)
    ]


def per_class_dumbbells(
    zero_shot: Mapping[str, Mapping[str, float]], finetuned: Mapping[str, Mapping[str, float]]
) -> go.Figure:
    """F1 of each class, zero-shot and fine-tuned joined by a line, best fine-tuned on top.

    Args:
        zero_shot: label -> `f1` (share) and `support` (photographs).
        finetuned: the same of the chosen classifier, with the same labels.
    Returns: three traces: the joining lines, zero-shot points, fine-tuned points.
    """
    order = sorted(finetuned, key=lambda label: float(finetuned[label]["f1"]))
    joins: dict[str, list[Any]] = {"x": [], "y": []}
    for place, label in enumerate(order):
        joins["x"] += [float(zero_shot[label]["f1"]), float(finetuned[label]["f1"]), None]
        joins["y"] += [place, place, None]
    line = {"color": GRID[0], "width": 3}
    figure = go.Figure(
        go.Scatter(**joins, mode="lines", line=line, hoverinfo="skip", showlegend=False)
    )
    for place, (name, scores) in enumerate(zip(STAGES, (zero_shot, finetuned), strict=True)):
        figure.add_trace(_points(order, scores, name, hollow=place == 0))
    figure.update_layout(layout(110 + 24 * len(order), margin={"l": 8, "r": 28, "t": 12, "b": 8}))
    figure.update_xaxes(share_axis("F1"))
    figure.update_yaxes(_class_axis(order, None, range=[-0.7, len(order) - 0.3], showgrid=False))
    return figure


def _points(
    order: Sequence[str], scores: Mapping[str, Mapping[str, float]], name: str, *, hollow: bool
) -> go.Scatter:
    tone = series_tone(1 if hollow else 0)
    symbol = "circle-open" if hollow else "circle"
    words = [
        f"{_name(label)}<br>{percent(float(scores[label]['f1']))}, "
        f"{count(scores[label]['support'])} photographs"
        for label in order
    ]
    return go.Scatter(
        x=[float(scores[label]["f1"]) for label in order],
        y=list(range(len(order))),
        customdata=words,
        mode="markers",
        marker={"symbol": symbol, "size": 10, "color": tone, "line": {"width": 2, "color": tone}},
        hovertemplate="%{customdata}<extra>%{fullData.name}</extra>",
        legendgroup=name,
        name=name,
    )


def _name(label: str) -> str:
    return plot_text(class_name(label))


def _class_axis(labels: Sequence[str], title: str | None, **more: Any) -> dict[str, Any]:
    """A tick for each class, by place: two classes may share a name once it is shown."""
    return axis(
        title,
        tickmode="array",
        tickvals=list(range(len(labels))),
        ticktext=[_name(label) for label in labels],
        **{"showgrid": False, "tickfont": {"color": MUTED[0], "size": 11}, **more},
    )
