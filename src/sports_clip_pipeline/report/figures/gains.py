"""What labels give each class: recall from no labels to all of them."""

from __future__ import annotations

from typing import Any

import pandas as pd
import plotly.graph_objects as go

from sports_clip_pipeline.report.labels import class_name, fraction_name, percent, plot_text
from sports_clip_pipeline.report.theme import INK, axis, layout, soft_scale


def gains_map(class_gains: pd.DataFrame) -> go.Figure:
    """Recall of each class (rows) with no labels and with each share of them (columns).

    Args:
        class_gains: a row a class and fraction: `label`, `fraction` (0 is zero-shot), `recall`;
            may be empty.
    Returns: a heat map with its numbers in percent, classes that gained most on top.
    """
    figure = go.Figure()
    if class_gains.empty:
        return figure
    recalls = recall_by_fraction(class_gains)
    classes = [plot_text(class_name(label)) for label in recalls.index]
    figure.add_trace(_squares(recalls, classes))
    figure.update_layout(layout(100 + 26 * max(len(classes), 4)))
    fractions = [float(fraction) for fraction in recalls.columns]
    shares = [f"{round(100 * share, 6):g}" if share > 0 else "none" for share in fractions]
    figure.update_xaxes(_places("Percent of the labels", shares, side="top"))
    figure.update_yaxes(_places(None, classes, autorange="reversed"))
    return figure


def recall_by_fraction(class_gains: pd.DataFrame) -> pd.DataFrame:
    """Recall, a row a class and a column a fraction; classes that gained most come first."""
    recalls = class_gains.pivot(index="label", columns="fraction", values="recall").sort_index()
    gain = recalls.iloc[:, -1] - recalls.iloc[:, 0]
    return recalls.loc[gain.sort_values(ascending=False, kind="stable").index]


def stage_name(fraction: float) -> str:
    """A share of the labels, in few letters; 0 is none."""
    return fraction_name(fraction) if fraction > 0 else "none"


def _squares(recalls: pd.DataFrame, classes: list[str]) -> go.Heatmap:
    """Numbers stand in the squares without their sign."""
    words = [
        [
            f"{name}, {stage_name(float(fraction))} of the labels<br>"
            f"{percent(share)} of its photographs"
            for fraction, share in zip(recalls.columns, shares, strict=True)
        ]
        for name, shares in zip(classes, recalls.to_numpy(), strict=True)
    ]
    return go.Heatmap(
        z=recalls.to_numpy().tolist(),
        text=[[f"{100 * share:.0f}" for share in shares] for shares in recalls.to_numpy()],
        texttemplate="%{text}",
        textfont={"size": 11, "color": INK[0]},
        customdata=words,
        hovertemplate="%{customdata}<extra></extra>",
        colorscale=soft_scale(),
        zmin=0,
        zmax=1,
        xgap=2,
        ygap=2,
        showscale=False,
    )


def _places(title: str | None, names: list[str], **more: Any) -> dict[str, Any]:
    return axis(
        title,
        tickmode="array",
        tickvals=list(range(len(names))),
        ticktext=names,
        tickangle=0,
        showgrid=False,
        ticks="",
        **more,
    )
