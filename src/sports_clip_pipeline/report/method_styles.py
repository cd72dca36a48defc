"""Method styles: which methods the figures draw, and the colour, symbol and name of each."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pandas as pd

from sports_clip_pipeline.fewshot import base
from sports_clip_pipeline.fewshot.base import METHODS
from sports_clip_pipeline.pipelines.report.config import ReportConfig
from sports_clip_pipeline.report import figures as fig
from sports_clip_pipeline.report import formatting as fmt

# Method -> (colour of `figures.COLORS`, symbol of `figures.MARKERS`) in every figure and study.
# All other methods take the free combinations in the order in which they are drawn.
METHOD_STYLES: Mapping[str, tuple[str, str]] = {
    "logreg": ("teal", "triangle-down"),
    "notebook_mlp": ("grey", "x"),
}
# Dash of the lines of what is not a method.
REFERENCE_LINES = {"Zero-shot": "dash", "Chance": "dot"}
# Sections of the legend.
FROZEN, UNLABELLED = "On frozen encoders", "With unlabelled images too"
END_TO_END = "Trained end to end"


def uses_unlabelled(method: str) -> bool:
    """Whether a method is semi-supervised: it also learns from unlabelled development images."""
    return method in METHODS and METHODS[method].unlabelled


def display_name(method: str, names: Mapping[str, str]) -> str:
    """A method's display name from `names`, the registry, or its key; says if semi-supervised."""
    name = base.display_name(method, names)
    if uses_unlabelled(method) and "unlabelled" not in name:
        return f"{name}, with unlabelled images"
    return name


def reference_line(name: str) -> dict[str, Any]:
    """The line style of zero-shot or chance."""
    return {"color": fig.MUTED[0], "width": 1.5, "dash": REFERENCE_LINES[name]}


@dataclass(frozen=True)
class MethodStyles:
    """The methods of the figures with colours, symbols, names and visibility.

    Attributes:
        methods: in the order of drawing.
        names: method -> display name.
        shown: those visible at first; the others are toggled in the legend.
        end_to_end: methods that train the image encoder.
    """

    methods: Sequence[str]
    names: Mapping[str, str] = field(default_factory=dict)
    shown: Sequence[str] = ()
    end_to_end: Sequence[str] = ()

    @cached_property
    def _styles(self) -> dict[str, tuple[str, str]]:
        """Method -> names of its colour and symbol."""
        colors, size = list(fig.COLORS), len(fig.COLORS)
        pairs = (
            (colors[n % size], fig.MARKERS[(n + n // size) % len(fig.MARKERS)])
            for n in itertools.count()
        )
        free = (pair for pair in pairs if pair not in METHOD_STYLES.values())
        return {method: METHOD_STYLES.get(method) or next(free) for method in self.methods}

    def name(self, method: str) -> str:
        """The display name, escaped for plotly."""
        return fmt.plot_text(display_name(method, self.names))

    def color(self, method: str) -> str:
        """The method's colour."""
        return fig.COLORS[self._styles[method][0]][0]

    def band(self, method: str) -> str:
        """The translucent fill in the method's colour."""
        return fig.BANDS[list(fig.COLORS).index(self._styles[method][0])][0]

    def trace(self, method: str) -> dict[str, Any]:
        """Properties of all traces of a method: legend entry, visibility, legend section."""
        semi_supervised = UNLABELLED if uses_unlabelled(method) else FROZEN
        return {
            "name": self.name(method),
            "legendgroup": method,
            "visible": True if method in self.shown else "legendonly",
            "meta": END_TO_END if method in self.end_to_end else semi_supervised,
        }

    def series(self, method: str) -> dict[str, Any]:
        """Properties of a method's line with markers."""
        return {"line": self.line(method), "marker": self.marker(method), **self.trace(method)}

    def line(self, method: str) -> dict[str, Any]:
        """Colour and dash of the method's line."""
        dash = "dash" if uses_unlabelled(method) else "solid"
        return {"color": self.color(method), "width": 2, "dash": dash}

    def marker(self, method: str) -> dict[str, Any]:
        """Symbol and colour of the method's markers."""
        return {"color": self.color(method), "symbol": self._styles[method][1], "size": 8}


def method_styles(
    curves: pd.DataFrame, trials: pd.DataFrame, end_to_end: pd.DataFrame, config: ReportConfig
) -> MethodStyles:
    """The styles of a study's methods; highlighted methods and baselines are shown at first.

    Args:
        curves, end_to_end: `method`; the second may be empty, its methods are all shown.
        trials: as in `highlighted_methods`.
    """
    methods = list(dict.fromkeys(curves["method"]))
    trained = [] if end_to_end.empty else list(dict.fromkeys(end_to_end["method"]))
    first = highlighted_methods(trials, methods, config.baselines, config.highlighted)
    means = trials.groupby("method")["cv_top1"].mean().dropna().to_dict()
    rest = sorted(set(methods) - set(first), key=lambda name: (-means.get(name, -math.inf), name))
    more = [method for method in trained if method not in methods]
    return MethodStyles((*first, *rest, *more), config.methods, (*first, *more), tuple(trained))


def highlighted_methods(
    trials: pd.DataFrame, methods: Sequence[str], baselines: Sequence[str], most: int
) -> tuple[str, ...]:
    """The methods to draw first, chosen by cross-validation and never by the test images.

    First the best with the fewest labels, then the best with the most, then those that lead the
    other methods by most on average; then the baselines.

    Args:
        trials: `method`, `fraction`, `cv_top1` (share, or NaN where it was not measured).
        methods: those that are drawn.
        baselines: shown whatever their score, as far as they are drawn.
        most: how many of the best.
    """
    scores = trials[trials["method"].isin(methods)].pivot_table(
        index="method", columns="fraction", values="cv_top1", aggfunc="mean"
    )
    best: list[Any] = sorted(methods)
    if not scores.empty:
        ends = [scores[fraction].idxmax() for fraction in (scores.columns[0], scores.columns[-1])]
        leads = (scores - scores.mean()).mean(axis=1)
        best = [*ends, *leads.sort_values(ascending=False, kind="stable").index]
    chosen = list(dict.fromkeys(map(str, best)))[:most]
    return tuple(dict.fromkeys([*chosen, *(name for name in baselines if name in methods)]))
