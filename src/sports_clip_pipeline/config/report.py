"""Parameters of the `report` pipeline."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sports_clip_pipeline.config.checks import as_tuple, require, require_choice, require_number

MEASURES = ("zero_shot_top1", "fewest_labels_top1", "all_labels_top1", "retrieval_r5")
_KEYS = ("measure", "label", "value", "note")


@dataclass(frozen=True)
class Reference:
    """A published number to stand beside one of ours.

    Attributes:
        measure: the row of the headline table it belongs to, one of `MEASURES`.
        label: where it was published; entries with one label make one column.
        value: share in [0, 1].
        note: what makes it comparable, or not; a footnote.
    """

    measure: str
    label: str
    value: float
    note: str

    def __post_init__(self) -> None:
        require_choice(self.measure, "report.reference.measure", MEASURES)
        require_number(self.value, "report.reference.value", 0, 1)
        for name in ("label", "note"):
            _require_text(getattr(self, name), f"report.reference.{name}")


@dataclass(frozen=True)
class ReportConfig:
    """Parameter block `report`: what the page says beside the numbers.

    Attributes:
        study: name of the study, shown at the top.
        methods: name of a method -> what people call it; a method not named here keeps its name.
        highlighted: how many of the best methods by validation the figures show at once; the
            others wait in the legends.
        baselines: methods that are always shown, as far as the study has them.
        reference: published numbers; empty where nothing is comparable.
        gallery_photographs: how many explained photographs the page shows at most.
        confused_pairs: how many rows the table of most confused classes has at most.
        mislabelled_photographs: how many likely mislabelled photographs the page shows at most.
        label_next_photographs: how many of the photographs to label next it shows at most.
        thumbnail_px: longer side of those photographs at most.
        packages: distributions whose versions are listed.
        max_page_mb: the page is refused above this size, in megabytes of 10^6 bytes.
    """

    study: str
    methods: dict[str, str] = field(default_factory=dict)
    highlighted: int = 4
    baselines: tuple[str, ...] = ("notebook_mlp", "logreg_tower")
    reference: tuple[Reference, ...] = ()
    gallery_photographs: int = 24
    confused_pairs: int = 12
    mislabelled_photographs: int = 24
    label_next_photographs: int = 12
    thumbnail_px: int = 96
    packages: tuple[str, ...] = ("kedro", "torch", "open_clip_torch", "plotly")
    max_page_mb: float = 6.0

    def __post_init__(self) -> None:
        _require_text(self.study, "report.study")
        wanted = "a mapping from method to the words to show"
        require(isinstance(self.methods, dict), "report.methods", wanted, self.methods)
        for method, words in self.methods.items():
            _require_text(words, f"report.methods.{method}")
        object.__setattr__(self, "reference", _references(self.reference))
        object.__setattr__(self, "packages", as_tuple(self.packages, "report.packages", str))
        # A study without baselines is an empty list, which `as_tuple` refuses.
        baselines = as_tuple(self.baselines, "report.baselines", str) if self.baselines else ()
        object.__setattr__(self, "baselines", baselines)
        for name, low, high in (
            ("highlighted", 1, 20),
            ("gallery_photographs", 0, 200),
            ("confused_pairs", 1, 100),
            ("mislabelled_photographs", 0, 500),
            ("label_next_photographs", 0, 500),
            ("thumbnail_px", 32, 512),
        ):
            require_number(getattr(self, name), f"report.{name}", low, high, integer=True)
        require_number(self.max_page_mb, "report.max_page_mb", 0.1, 100)


def _references(value: Any) -> tuple[Reference, ...]:
    """Mappings from the configuration as `Reference`s."""
    where = "report.reference"
    require(isinstance(value, (list, tuple)), where, "a list of mappings", value)
    return tuple(entry if isinstance(entry, Reference) else _reference(entry) for entry in value)


def _reference(entry: Any) -> Reference:
    wanted = f"mappings with the keys {', '.join(_KEYS)}"
    is_complete = isinstance(entry, dict) and set(entry) == set(_KEYS)
    require(is_complete, "report.reference", wanted, entry)
    return Reference(**entry)


def _require_text(value: Any, parameter: str) -> None:
    require(isinstance(value, str) and bool(value.strip()), parameter, "text", value)
