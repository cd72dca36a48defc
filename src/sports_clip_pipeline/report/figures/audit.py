"""What the data are: how many photographs of which part, and what the captions speak of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from sports_clip_pipeline.report.labels import class_name, count, plot_text
from sports_clip_pipeline.report.theme import INK, axis, layout, series_tone


def part_bars(parts: Mapping[str, int]) -> go.Figure:
    """Photographs in each part of the study, as horizontal bars.

    Args:
        parts: what a part is called -> photographs; drawn from top to bottom.
    """
    return _bars(list(parts), list(parts.values()), "photographs", 2)


def mention_bars(mentions: Mapping[str, int]) -> go.Figure:
    """How many captions mention each class by name, most often on top.

    Args:
        mentions: label -> captions.
    """
    order = sorted(mentions, key=lambda label: (-mentions[label], label))
    names = [class_name(label) for label in order]
    return _bars(names, [mentions[label] for label in order], "captions", 0)


def _bars(names: Sequence[str], numbers: Sequence[int], unit: str, tone: int) -> go.Figure:
    places = list(range(len(names)))
    ticks = [plot_text(name) for name in names]
    bars = go.Bar(
        x=list(numbers),
        y=places,
        orientation="h",
        customdata=ticks,
        text=[count(number) for number in numbers],
        textposition="outside",
        textfont={"color": INK[0], "size": 11},
        cliponaxis=False,
        marker={"color": series_tone(tone)},
        hovertemplate=f"%{{customdata}}<br>%{{text}} {unit}<extra></extra>",
        showlegend=False,
    )
    figure = go.Figure(bars)
    longest = max([*numbers, 1])
    figure.update_layout(
        layout(
            60 + 24 * max(len(names), 3),
            xaxis=axis(range=[0, 1.16 * longest], showticklabels=False, showgrid=False, ticks=""),
            yaxis=axis(
                tickmode="array",
                tickvals=places,
                ticktext=ticks,
                autorange="reversed",
                showgrid=False,
            ),
            bargap=0.35,
        )
    )
    return figure
