"""The axis that figures over shares of the labels have in common."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from sports_clip_pipeline.report.labels import count, fraction_name
from sports_clip_pipeline.report.theme import MUTED, axis

TITLE = "Share of labels used, and photographs"


def place_without_labels(frame: pd.DataFrame) -> float:
    """Where results without any label stand on the log axis: left of the smallest fraction.

    Args:
        frame: `fraction` in (0, 1].
    """
    return float(frame["fraction"].min()) / 2.2


def fraction_axis(frame: pd.DataFrame, *, without_labels: bool = False) -> dict[str, Any]:
    """A log axis with a tick for each fraction and the number of labels below it.

    Args:
        frame: `fraction` in (0, 1], `labels`.
        without_labels: whether there is a place for results without labels.
    """
    labels = frame.groupby("fraction")["labels"].max().sort_index()
    ticks = {
        float(fraction): f"{fraction_name(fraction)}<br>{count(photographs)}"
        for fraction, photographs in zip(labels.index.tolist(), labels, strict=True)
    }
    if without_labels:
        ticks = {place_without_labels(frame): "none<br>0", **ticks}
    low, high = math.log10(min(ticks)), math.log10(max(ticks))
    pad = 0.04 * max(high - low, 1.0)
    return axis(
        TITLE,
        type="log",
        tickmode="array",
        tickvals=list(ticks),
        ticktext=list(ticks.values()),
        tickangle=0,
        tickfont={"color": MUTED[0], "size": 10},
        range=[low - pad, high + pad],
        showgrid=False,
    )
