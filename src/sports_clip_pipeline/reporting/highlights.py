"""Which methods a figure shows first: the best by validation, and the baselines."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from sports_clip_pipeline.pipelines.report.config import ReportConfig
from sports_clip_pipeline.reporting.figures.cast import Cast
from sports_clip_pipeline.reporting.labels import uses_unlabelled


def highlights(
    arms: pd.DataFrame, methods: Sequence[str], baselines: Sequence[str], most: int
) -> tuple[str, ...]:
    """The methods to draw first; the evaluation photographs have no say.

    First the one that cross-validation prefers with the fewest labels, then the one it prefers
    with the most, then those that lead the others by most on average; then the baselines.

    Args:
        arms: `method`, `fraction`, `cv_top1` (share, or NaN where none could be measured).
        methods: those that are drawn.
        baselines: kept whatever their score, as far as they are drawn.
        most: how many of the best.
    Returns: the best, best first, then the baselines.
    """
    scores = arms[arms["method"].isin(methods)].pivot_table(
        index="method", columns="fraction", values="cv_top1", aggfunc="mean"
    )
    best: list[str] = []
    if not scores.empty:
        leads = (scores - scores.mean()).mean(axis=1)
        ends = [scores[fraction].idxmax() for fraction in (scores.columns[0], scores.columns[-1])]
        order = leads.sort_values(ascending=False, kind="stable").index
        best = [str(method) for method in (*ends, *order)]
    chosen = list(dict.fromkeys(best or sorted(methods)))[:most]
    kept = [method for method in baselines if method in methods and method not in chosen]
    return (*chosen, *kept)


def compose_cast(
    curves: pd.DataFrame,
    arms: pd.DataFrame,
    config: ReportConfig,
    pixels: pd.DataFrame | None = None,
) -> Cast:
    """Which methods the study's figures draw, and how.

    Args:
        curves: `method`. arms: as in `highlights`.
        pixels: as `curves`, of the methods that train through the tower; all are shown.
    """
    methods = list(dict.fromkeys(curves["method"]))
    through: list[str] = []
    if pixels is not None and not pixels.empty:
        through = [method for method in dict.fromkeys(pixels["method"]) if method not in methods]
    first = highlights(arms, methods, config.baselines, config.highlighted)
    return Cast(
        methods=(*first, *_best_first(arms, set(methods) - set(first)), *through),
        names=config.methods,
        first=(*first, *through),
        unlabelled=tuple(method for method in methods if uses_unlabelled(method)),
    )


def _best_first(arms: pd.DataFrame, methods: set[str]) -> list[str]:
    """By their mean score inside the labelled part; those without a score last."""
    means = arms.groupby("method")["cv_top1"].mean().to_dict()

    def rank(method: str) -> tuple[float, str]:
        score = float(means.get(method, math.nan))
        return (math.inf if math.isnan(score) else -score, method)

    return sorted(methods, key=rank)
