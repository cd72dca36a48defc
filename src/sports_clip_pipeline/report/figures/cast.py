"""Which methods figures draw, and how: the same colour and symbol for a method in every figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sports_clip_pipeline.report.labels import method_name, plot_text
from sports_clip_pipeline.report.theme import series_marker, series_tone

FEATURES = "On frozen towers"
UNLABELLED = "With unlabelled photographs too"
PIXELS = "Trained through the image tower"


@dataclass(frozen=True)
class Cast:
    """Which methods a figure draws, and how.

    Attributes:
        methods: in the order of drawing, which sets their colours.
        names: method -> words.
        first: those shown at once; the others wait in the legend.
        unlabelled: those that learn from photographs without labels too; drawn dashed.
    """

    methods: Sequence[str]
    names: Mapping[str, str] = field(default_factory=dict)
    first: Sequence[str] = ()
    unlabelled: Sequence[str] = ()

    def called(self, method: str) -> str:
        """The method's name, safe for plotly."""
        return plot_text(method_name(method, self.names))

    def tone(self, method: str) -> str:
        """The method's colour, the same in every figure with this cast."""
        return series_tone(self.place(method))

    def place(self, method: str) -> int:
        """The method's number."""
        return list(self.methods).index(method)

    def trace(self, method: str) -> dict[str, Any]:
        """What all traces of a method share: legend entry, visibility, section of the legend."""
        return {
            "name": self.called(method),
            "legendgroup": method,
            "visible": True if method in self.first else "legendonly",
            "meta": UNLABELLED if method in self.unlabelled else FEATURES,
        }

    def line(self, method: str) -> dict[str, Any]:
        """Colour and dash of the method's line."""
        dash = "dash" if method in self.unlabelled else "solid"
        return {"color": self.tone(method), "width": 2, "dash": dash}

    def marker(self, method: str) -> dict[str, Any]:
        """Symbol and colour of the method's points."""
        return {"color": self.tone(method), "symbol": series_marker(self.place(method)), "size": 8}
