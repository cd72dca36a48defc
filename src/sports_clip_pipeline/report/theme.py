"""Colours, marker symbols and plotly layout shared by all figures, in a light and a dark theme.

Figures are stored in the light colours. The page swaps each for its dark twin, so figures may use
no colours but those of `TONES`.
"""

from __future__ import annotations

from typing import Any

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"

# (light, dark)
PAPER = ("#fdfdfb", "#15171a")
INK = ("#1d2024", "#e9e9e4")
MUTED = ("#5a616b", "#a4abb4")
GRID = ("#e4e5e1", "#2c3137")
HOVER = ("#f2f3ef", "#23272c")
CLEAR = "rgba(0,0,0,0)"

# Differ in lightness as well as hue, for colour-blind readers; markers differ too.
COLORS = {
    "blue": ("#0b5cad", "#74b4f3"),
    "orange": ("#bf4a0b", "#f39a68"),
    "green": ("#00755a", "#52c7a4"),
    "purple": ("#8a3a86", "#d9a0d2"),
    "ochre": ("#806000", "#e2bd55"),
    "red": ("#a02b45", "#f18b9d"),
    "teal": ("#006e86", "#67cbe1"),
    "grey": ("#454c56", "#c3c9d0"),
}
SERIES = tuple(COLORS.values())
MARKERS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "triangle-down", "star")
SCALE = (
    (0.0, ("#f4f5f1", "#1d2126")),
    (0.25, ("#bdd3e8", "#274669")),
    (0.6, ("#4f8fcb", "#4f8fcc")),
    (1.0, ("#08335f", "#d3e8fc")),
)
# For cells with a number in them: INK is legible on all of it.
SOFT_SCALE = ((0.0, ("#f6f7f3", "#1b1f24")), (1.0, ("#74a9dc", "#2f6299")))


def _translucent(tone: str, alpha: float) -> str:
    red, green, blue = (int(tone[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha})"


BANDS = tuple((_translucent(light, 0.13), _translucent(dark, 0.17)) for light, dark in SERIES)

TONES: dict[str, str] = dict(
    (PAPER, INK, MUTED, GRID, HOVER, *SERIES, *BANDS, *(pair for _, pair in (*SCALE, *SOFT_SCALE)))
)
"""Every light colour and its dark twin."""


def series_tone(index: int) -> str:
    """Colour of series number `index`; the palette repeats."""
    return SERIES[index % len(SERIES)][0]


def marker(index: int) -> str:
    """Marker symbol of series number `index`."""
    return MARKERS[index % len(MARKERS)]


def series_marker(index: int) -> str:
    """Marker symbol that tells series of one colour apart: it shifts where the palette repeats."""
    return marker(index + index // len(SERIES))


def color_scale(stops: tuple[tuple[float, tuple[str, str]], ...]) -> list[list[Any]]:
    """`SCALE` or `SOFT_SCALE` in plotly's form."""
    return [[stop, light] for stop, (light, _) in stops]


def layout(height: int, **more: Any) -> dict[str, Any]:
    """Layout of every figure: clear background, thin grid, legend above. `height` in pixels."""
    font = {"family": FONT, "size": 12, "color": INK[0]}
    base = {
        "template": None,
        "height": height,
        "paper_bgcolor": CLEAR,
        "plot_bgcolor": CLEAR,
        "font": font,
        "margin": {"l": 8, "r": 12, "t": 12, "b": 8},
        "hoverlabel": {
            "bgcolor": HOVER[0], "bordercolor": GRID[0], "font": font, "align": "left",
        },
        "legend": {"orientation": "h", "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom"},
    }  # fmt: skip
    return {**base, **more}


def axis(title: str | None = None, **more: Any) -> dict[str, Any]:
    """An axis with a thin grid and automatic margins."""
    base: dict[str, Any] = {
        "gridcolor": GRID[0],
        "linecolor": GRID[0],
        "tickcolor": GRID[0],
        "tickfont": {"color": MUTED[0], "size": 11},
        "zeroline": False,
        "automargin": True,
    }
    if title:
        base["title"] = {"text": title, "font": {"color": MUTED[0], "size": 12}, "standoff": 10}
    return {**base, **more}


def share_axis(title: str | None = None, *, step: float = 0.2, top: float = 1.0) -> dict[str, Any]:
    """An axis for shares from 0 to `top`, labelled in percent."""
    ticks = [round(i * step, 6) for i in range(round(top / step) + 1)]
    names = [f"{100 * tick:g} %" for tick in ticks]
    return axis(title, range=[0, 1.02 * top], tickmode="array", tickvals=ticks, ticktext=names)
