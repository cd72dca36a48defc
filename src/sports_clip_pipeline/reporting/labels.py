"""How numbers, classes and methods are written for people."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping

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


def count(number: float) -> str:
    """A whole number with thousands apart."""
    return f"{int(number):,}"


def class_name(label: str) -> str:
    """A class label with its underscores as spaces."""
    return label.replace("_", " ")


def method_name(method: str, names: Mapping[str, str]) -> str:
    """What people call a method; its raw name where nobody said."""
    return names.get(method, method)


def plot_text(text: str) -> str:
    """Text that plotly shows as it is: plotly reads a few HTML tags in every label."""
    return html.escape(text, quote=False)
