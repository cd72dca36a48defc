"""Learning curves: accuracy by share of labels used, one line a method."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from sports_clip_pipeline.pipelines.report.config import Reference
from sports_clip_pipeline.reporting.figures.cast import PIXELS, Cast
from sports_clip_pipeline.reporting.figures.fractions import fraction_axis, place_without_labels
from sports_clip_pipeline.reporting.frames import records
from sports_clip_pipeline.reporting.labels import (
    count,
    fraction_name,
    interval,
    percent,
    plot_text,
)
from sports_clip_pipeline.reporting.theme import (
    INK,
    MUTED,
    band_tone,
    layout,
    share_axis,
)


def learning_curve(
    curves: pd.DataFrame,
    zero_shot: Mapping[str, Any],
    cast: Cast,
    pixels: pd.DataFrame | None = None,
    reference: Sequence[Reference] = (),
) -> go.Figure:
    """Top-1 of each method over the share of labels, with its 95 % band.

    Args:
        curves: one row a method and fraction: `method`, `fraction` in (0, 1], `labels`, `seeds`,
            `top1_mean`, `top1_low`, `top1_high` as shares.
        zero_shot: `top1` and `chance` as shares, drawn as level lines.
        cast: its methods are those of `curves`, then those of `pixels`.
        pixels: as `curves`, of methods that train through the tower; drawn as points.
        reference: published numbers; those of top-1 are drawn.
    Returns: log x axis with a place for no labels; two traces a method (band, line), one a method
        of `pixels`, then the two level lines, then one a place of publication.
    """
    pixels = curves.iloc[:0] if pixels is None else pixels
    every = curves if pixels.empty else pd.concat([curves, pixels], ignore_index=True)
    figure = go.Figure(
        [
            *_lines(curves, cast),
            *_points(pixels, cast),
            *_levels(every, zero_shot),
            *_published(every, reference),
        ]
    )
    axis = fraction_axis(every, without_labels=True)
    figure.update_layout(layout(560, xaxis=axis, yaxis=share_axis(step=0.1)))
    return figure


def _lines(curves: pd.DataFrame, cast: Cast) -> Iterator[go.Scatter]:
    for method in cast.methods:
        rows = curves[curves["method"] == method].sort_values("fraction")
        if not rows.empty:
            yield _band(rows, cast)
            yield _line(rows, cast)


def _band(rows: pd.DataFrame, cast: Cast) -> go.Scatter:
    """The outline of the intervals, there and back again."""
    method = rows["method"].iloc[0]
    fractions = rows["fraction"].tolist()
    tone = band_tone(cast.place(method))
    return go.Scatter(
        x=fractions + fractions[::-1],
        y=rows["top1_high"].tolist() + rows["top1_low"].tolist()[::-1],
        fill="toself",
        fillcolor=tone,
        line={"width": 0, "color": tone},
        mode="lines",
        hoverinfo="skip",
        showlegend=False,
        **cast.trace(method),
    )


def _line(rows: pd.DataFrame, cast: Cast) -> go.Scatter:
    method = rows["method"].iloc[0]
    return go.Scatter(
        x=rows["fraction"].tolist(),
        y=rows["top1_mean"].tolist(),
        customdata=_words(rows),
        mode="lines+markers",
        line=cast.line(method),
        marker=cast.marker(method),
        hovertemplate=_HOVER,
        **cast.trace(method),
    )


def _points(pixels: pd.DataFrame, cast: Cast) -> Iterator[go.Scatter]:
    """Points with whiskers: few fractions are trained through the tower."""
    for method in dict.fromkeys(pixels["method"]) if not pixels.empty else ():
        rows = pixels[pixels["method"] == method].sort_values("fraction")
        tone = cast.tone(method)
        high, low = rows["top1_high"] - rows["top1_mean"], rows["top1_mean"] - rows["top1_low"]
        marker = cast.marker(method)
        yield go.Scatter(
            x=rows["fraction"].tolist(),
            y=rows["top1_mean"].tolist(),
            error_y={
                "type": "data",
                "symmetric": False,
                "array": high.tolist(),
                "arrayminus": low.tolist(),
                "color": tone,
                "thickness": 1.5,
                "width": 4,
            },
            customdata=_words(rows),
            mode="markers",
            marker={
                **marker,
                "symbol": f"{marker['symbol']}-open",
                "size": 11,
                "line": {"width": 2, "color": tone},
            },
            hovertemplate=_HOVER,
            **{**cast.trace(method), "meta": PIXELS},
        )


_HOVER = "%{customdata[0]}<br>%{customdata[1]}<br>%{customdata[2]}<extra>%{fullData.name}</extra>"


def _words(rows: pd.DataFrame) -> list[list[str]]:
    return [
        [
            f"{fraction_name(row['fraction'])} of the labels ({count(row['labels'])})",
            f"{percent(row['top1_mean'])}, 95 % interval "
            f"{interval(row['top1_low'], row['top1_high'])}",
            _subsets(len(row["seeds"])),
        ]
        for row in records(rows)
    ]


def _subsets(seeds: int) -> str:
    return "one subset of the labels" if seeds == 1 else f"mean of {seeds} subsets of the labels"


def _levels(every: pd.DataFrame, zero_shot: Mapping[str, Any]) -> Iterator[go.Scatter]:
    ends = [place_without_labels(every), float(every["fraction"].max())]
    for name, share, dash in (
        ("Zero-shot", float(zero_shot["top1"]), "dash"),
        ("Chance", float(zero_shot["chance"]), "dot"),
    ):
        yield go.Scatter(
            x=ends,
            y=[share, share],
            mode="lines",
            line={"color": MUTED[0], "width": 1.5, "dash": dash},
            hovertemplate=f"{percent(share)}<extra>%{{fullData.name}}</extra>",
            legendgroup=name,
            name=name,
        )


def _published(every: pd.DataFrame, reference: Sequence[Reference]) -> Iterator[go.Scatter]:
    """Stars where others measured, at the share of labels that they used."""
    places = {
        "zero_shot_top1": place_without_labels(every),
        "fewest_labels_top1": float(every["fraction"].min()),
        "all_labels_top1": float(every["fraction"].max()),
    }
    entries = [entry for entry in reference if entry.measure in places]
    for label in dict.fromkeys(entry.label for entry in entries):
        of_label = [entry for entry in entries if entry.label == label]
        yield go.Scatter(
            x=[places[entry.measure] for entry in of_label],
            y=[entry.value for entry in of_label],
            customdata=[percent(entry.value) for entry in of_label],
            mode="markers",
            marker={"symbol": "star", "size": 13, "color": INK[0]},
            hovertemplate="%{customdata}<extra>%{fullData.name}</extra>",
            legendgroup=f"published {label}",
            name=plot_text(label),
        )
