"""What the gallery can be narrowed to: what occurs, each with how many photographs it keeps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sports_clip_pipeline.report.answers import BANDS
from sports_clip_pipeline.report.gallery import Exhibit

VERDICTS = {
    "right": "Right",
    "wrong": "Wrong",
    "mended": "Right, zero-shot wrong",
    "broken": "Wrong, zero-shot right",
}


@dataclass(frozen=True)
class Choice:
    """One value of a filter, what people read, and how many photographs it keeps."""

    value: str
    words: str
    photographs: int


@dataclass(frozen=True)
class Filter:
    """A list to choose from.

    Attributes:
        key: the word of an exhibit's `data-` attribute that must hold the chosen value.
        label: what the list is called.
        everything: the choice that leaves nothing out.
        choices: the others.
    """

    key: str
    label: str
    everything: str
    choices: tuple[Choice, ...]


def compose_filters(exhibits: Sequence[Exhibit]) -> tuple[Filter, ...]:
    """By true class, by the fine-tuned answer, and by how sure it is."""
    classes = {exhibit.label: exhibit.label for exhibit in exhibits}
    ordered = dict(sorted(classes.items()))
    verdicts = [exhibit.verdicts for exhibit in exhibits]
    sure = {band.key: band.words for band in BANDS}
    return (
        _filter("label", "True class", "All classes", ordered, [(x.label,) for x in exhibits]),
        _filter("answer", "Fine-tuned answer", "Right and wrong", VERDICTS, verdicts),
        _filter("sure", "Its probability", "Any", sure, [(x.sure.key,) for x in exhibits]),
    )


def _filter(
    key: str,
    label: str,
    everything: str,
    words: Mapping[str, str],
    values: Sequence[tuple[str, ...]],
) -> Filter:
    """The choices that occur among the values of the exhibits, in the order of `words`."""
    found = Counter(value for some in values for value in some)
    choices = (Choice(value, text, found[value]) for value, text in words.items())
    return Filter(key, label, everything, tuple(one for one in choices if one.photographs))
