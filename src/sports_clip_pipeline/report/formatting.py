"""Formats numbers, intervals and class names as text for readers."""

import html
import math
from typing import Any

SPACE = "\u00a0"
INTERVAL = "95 % interval"


def percent(share: float) -> str:
    """A share in [0, 1] as percent with one digit and a no-break space; a dash for NaN.

    >>> percent(0.6134).replace(SPACE, " ")
    '61.3 %'
    """
    return "–" if math.isnan(share) else f"{100 * share:.1f}{SPACE}%"


def interval(low: float, high: float) -> str:
    """A confidence interval of a share as a range in percent, without the sign.

    >>> interval(0.5921, 0.6333)
    '59.2–63.3'
    """
    return f"{100 * low:.1f}–{100 * high:.1f}"


def point_interval(point: Any) -> str:
    """The interval of a point of a learning curve; it names the lack of subsets.

    >>> point_interval({"top1_low": 0.6, "top1_high": 0.7, "seeds": [0], "fraction": 0.1})
    '60.0–70.0, images only'
    """
    rest = ", images only" if len(point["seeds"]) == 1 and point["fraction"] < 1 else ""
    return interval(point["top1_low"], point["top1_high"]) + rest


def fraction_name(fraction: float) -> str:
    """A label fraction in [0, 1] as percent with as few digits as it needs; "none" for 0.

    >>> fraction_name(0.01).replace(SPACE, " "), fraction_name(0)
    ('1 %', 'none')
    """
    return f"{round(100 * fraction, 6):g}{SPACE}%" if fraction > 0 else "none"


def points(share: float) -> str:
    """A difference of two shares in signed percentage points.

    >>> points(-0.0123)
    '−1.2'
    """
    return "–" if math.isnan(share) else f"{100 * share:+.1f}".replace("-", "−")


def count(number: float) -> str:
    """An integer with thousands separators; a dash for NaN and infinity."""
    return f"{int(number):,}" if math.isfinite(number) else "–"


def decimal(value: float, digits: int = 1) -> str:
    """A number with so many digits after the point; a dash for NaN."""
    return "–" if math.isnan(value) else f"{value:.{digits}f}"


def millions(parameters: float | None) -> str:
    """A parameter count in millions; a dash for None."""
    return "–" if parameters is None else f"{parameters / 1e6:.1f} M"


def p_value(p: float) -> str:
    """A p-value with two digits, or "< 0.001"."""
    return "< 0.001" if p < 0.001 else f"{p:.2g}"


def duration(seconds: float) -> str:
    """A duration in hours and minutes, or in minutes and seconds below two hours.

    >>> duration(59.6), duration(754), duration(9000)
    ('1 min 0 s', '12 min 34 s', '2 h 30 min')
    """
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 120:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def class_name(label: str) -> str:
    """A class label with spaces for underscores."""
    return label.replace("_", " ")


def plot_text(text: str) -> str:
    """Text escaped for plotly, which reads some HTML tags in every label."""
    return html.escape(text, quote=False)
