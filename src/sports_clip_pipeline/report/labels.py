"""How numbers, classes and methods are written for people."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping

from sports_clip_pipeline.config.methods import METHODS

SPACE = "\u00a0"


def percent(share: float) -> str:
    """A share in [0, 1] with one digit, a no-break space and the sign; a dash for NaN.

    >>> percent(0.6134).replace(SPACE, " ")
    '61.3 %'
    """
    return "–" if math.isnan(share) else f"{100 * share:.1f}{SPACE}%"


def interval(low: float, high: float) -> str:
    """Two shares as one range in percent, without the sign.

    >>> interval(0.5921, 0.6333)
    '59.2–63.3'
    """
    return f"{100 * low:.1f}–{100 * high:.1f}"


def fraction_name(fraction: float) -> str:
    """A fraction of the labels in (0, 1] in percent, with as few digits as it needs.

    >>> fraction_name(0.01).replace(SPACE, " "), fraction_name(1.0).replace(SPACE, " ")
    ('1 %', '100 %')
    """
    return f"{round(100 * fraction, 6):g}{SPACE}%"


def points(share: float) -> str:
    """A difference of two shares in percentage points, with its sign.

    >>> points(-0.0123)
    '−1.2'
    """
    return "–" if math.isnan(share) else f"{100 * share:+.1f}".replace("-", "−")


def number(value: float) -> str:
    """A whole number with thousands apart; a dash where there is none or no end to it."""
    return count(value) if math.isfinite(value) else "–"


def count(number: float) -> str:
    """A whole number with thousands apart."""
    return f"{int(number):,}"


def class_name(label: str) -> str:
    """A class label with its underscores as spaces."""
    return label.replace("_", " ")


def method_name(method: str, names: Mapping[str, str]) -> str:
    """What people call a method, its raw name where nobody said; and what else it learns from."""
    name = names.get(method, method)
    says = "unlabelled" in name
    return f"{name}, with unlabelled photographs" if uses_unlabelled(method) and not says else name


def uses_unlabelled(method: str) -> bool:
    """Whether a method learns from the development photographs without labels too."""
    return method in METHODS and METHODS[method].unlabelled


def plot_text(text: str) -> str:
    """Text that plotly shows as it is: plotly reads a few HTML tags in every label."""
    return html.escape(text, quote=False)
