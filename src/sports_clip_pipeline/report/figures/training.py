"""Pretraining as it went, and what retrieval it led to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from sports_clip_pipeline.report.labels import percent
from sports_clip_pipeline.report.theme import (
    INK,
    MUTED,
    axis,
    layout,
    marker,
    series_tone,
    share_axis,
)

DIRECTIONS = {"t2i": "Caption finds photograph", "i2t": "Photograph finds caption"}
RANKS = ("r1", "r5", "r10")


def training_curve(history: pd.DataFrame) -> go.Figure:
    """Loss above, validation recall@5 both ways below, over epochs.

    Args:
        history: one row an epoch: `epoch`, `loss`, `validation_t2i_r5`, `validation_i2t_r5`.
    """
    figure = make_subplots(
        rows=2,
        cols=1,
        shared_xaxes=True,
        vertical_spacing=0.14,
        subplot_titles=("Contrastive loss", "Recall@5 on validation photographs"),
    )
    epochs = history["epoch"].tolist()
    loss = _line(epochs, history["loss"].tolist(), "Loss", 0, "%{y:.3f}")
    figure.add_trace(loss, row=1, col=1)
    for place, (key, name) in enumerate(DIRECTIONS.items(), start=1):
        shares = history[f"validation_{key}_r5"].tolist()
        figure.add_trace(_line(epochs, shares, name, place, "%{y:.1%}"), row=2, col=1)
    figure.update_layout(layout(460, margin={"l": 8, "r": 12, "t": 34, "b": 8}))
    figure.update_annotations(font={"size": 12, "color": MUTED[0]}, x=0, xanchor="left", yshift=6)
    figure.update_xaxes(axis())
    figure.update_xaxes(title=axis("Epoch")["title"], row=2, col=1)
    figure.update_yaxes(axis(rangemode="tozero"), row=1, col=1)
    figure.update_yaxes(share_axis(), row=2, col=1)
    return figure


def _line(x: list[Any], y: list[float], name: str, place: int, number: str) -> go.Scatter:
    return go.Scatter(
        x=x,
        y=y,
        name=name,
        legendgroup=name,
        mode="lines+markers" if len(x) <= 60 else "lines",
        connectgaps=True,  # recall is not measured after every epoch
        line={"color": series_tone(place), "width": 2},
        marker={"size": 5, "symbol": marker(place)},
        hovertemplate=f"epoch %{{x}}<br>{number}<extra>%{{fullData.name}}</extra>",
    )


def retrieval_bars(retrieval: Mapping[str, Any]) -> go.Figure:
    """Recall at 1, 5 and 10 both ways, as bars with their values.

    Args:
        retrieval: `{t2i: {r1, r5, r10}, i2t: {...}}`, shares.
    """
    figure = go.Figure()
    for place, (key, name) in enumerate(DIRECTIONS.items(), start=1):
        shares = [float(retrieval[key][rank]) for rank in RANKS]
        figure.add_trace(
            go.Bar(
                x=[f"Recall@{rank[1:]}" for rank in RANKS],
                y=shares,
                text=[percent(share) for share in shares],
                textposition="outside",
                textangle=0,
                textfont={"color": INK[0], "size": 11},
                cliponaxis=False,
                marker={"color": series_tone(place)},
                hovertemplate="%{x}<br>%{text}<extra>%{fullData.name}</extra>",
                legendgroup=name,
                name=name,
            )
        )
    bars = layout(340, xaxis=axis(), yaxis=share_axis(), bargap=0.35, bargroupgap=0.08)
    figure.update_layout(bars)
    return figure
