"""The study's smaller tables as dots: zero-shot's ablation, accuracy beside its price."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from sports_clip_pipeline.reporting.figures.cast import Cast
from sports_clip_pipeline.reporting.figures.dots import Dots, dot_rows
from sports_clip_pipeline.reporting.frames import by_fraction, records
from sports_clip_pipeline.reporting.labels import fraction_name, interval, method_name, percent

TOP1 = "top1_"
MOST_SERIES = 3


def ablation_dots(ablation: pd.DataFrame) -> go.Figure:
    """Zero-shot top-1 of each variant with its 95 % interval, in the order given.

    Args:
        ablation: `name`, `top1`, `low`, `high`, `changed`, `chosen_on`; may be empty.
    """
    if ablation.empty:
        return go.Figure()
    words = [
        f"{percent(row['top1'])}, 95 % interval {interval(row['low'], row['high'])}"
        for row in records(ablation)
    ]
    shares, lows, highs = (ablation[name].tolist() for name in ("top1", "low", "high"))
    dots = Dots("Zero-shot top-1", shares, words, lows, highs)
    return dot_rows([name[:1].upper() + name[1:] for name in ablation["name"]], [dots])


def price_dots(price: pd.DataFrame, cast: Cast) -> go.Figure:
    """Top-1 of each set of towers at up to three shares of the labels, cheapest on top.

    Args:
        price: `towers`, `parameters`, `ms_per_photograph`, `method`, `top1_F` for each fraction
            F; may be empty. Of several methods on the same towers the one that stands first in
            the cast is drawn.
    """
    if price.empty:
        return go.Figure()
    rows = by_price(_foremost(price, cast))
    titles = [
        f"{row['towers']}, {milliseconds(row['ms_per_photograph'])}: "
        f"{method_name(row['method'], cast.names)}"
        for row in records(rows)
    ]
    found = by_fraction(rows, TOP1)
    series = []
    for fraction in few_of(list(found)):
        shares = rows[found[fraction]].astype(float).tolist()
        name = f"{fraction_name(fraction)} of the labels"
        series.append(Dots(name, shares, [percent(share) for share in shares]))
    return dot_rows(titles, series)


def _foremost(price: pd.DataFrame, cast: Cast) -> pd.DataFrame:
    """One row a set of towers; methods outside the cast come last."""
    places = {method: place for place, method in enumerate(cast.methods)}
    order = price["method"].map(lambda method: places.get(method, len(places)))
    return price.loc[order.sort_values(kind="stable").index].drop_duplicates("towers")


def by_price(price: pd.DataFrame) -> pd.DataFrame:
    """The rows, cheapest first; those whose time is not known last."""
    return price.sort_values(["ms_per_photograph", "parameters"], na_position="last")


def milliseconds(time_ms: float) -> str:
    """Time for one photograph, in words."""
    return "time not measured" if pd.isna(time_ms) else f"{time_ms:.3g} ms a photograph"


def few_of(fractions: list[float]) -> list[float]:
    """The first, the last and the one in the middle."""
    if len(fractions) <= MOST_SERIES:
        return fractions
    return [fractions[0], fractions[len(fractions) // 2], fractions[-1]]
