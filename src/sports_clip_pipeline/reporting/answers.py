"""The five likeliest classes of a photograph, and how sure an answer is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sports_clip_pipeline.reporting.labels import class_name, percent


@dataclass(frozen=True)
class SureBand:
    """A range of probabilities of the first answer: what scripts and what people call it."""

    key: str
    words: str
    low: float


# The surest first; a band ends where the one before it begins.
BANDS = (
    SureBand("high", "90 % or more", 0.9),
    SureBand("middle", "50 to 90 %", 0.5),
    SureBand("low", "below 50 %", 0.0),
)


@dataclass(frozen=True)
class Answer:
    """A class and its probability, and whether it is the true one."""

    name: str
    probability: str
    right: bool


@dataclass(frozen=True)
class TopAnswers:
    """What one classifier says of a photograph, the likeliest first."""

    whose: str
    answers: tuple[Answer, ...]

    @property
    def right(self) -> bool:
        """Whether the first one is the true class."""
        return self.answers[0].right


def band_of(probability: float) -> SureBand:
    """The band of a probability in [0, 1].

    >>> band_of(0.9).words, band_of(0.8999).words, band_of(0.2).words
    ('90 % or more', '50 to 90 %', 'below 50 %')
    """
    return next(band for band in BANDS if probability >= band.low)


def top_answers(whose: str, prefix: str, said: Mapping[str, Any]) -> TopAnswers:
    """The answers of one classifier from a row of `test_predictions`.

    Args:
        whose: what people call the classifier.
        prefix: of its columns, `zero_shot` or `finetuned`.
        said: the row: `label`, `<prefix>_top5`, `<prefix>_top5_probabilities`.
    """
    names, shares = said[f"{prefix}_top5"], said[f"{prefix}_top5_probabilities"]
    return TopAnswers(
        whose,
        tuple(
            Answer(class_name(name), percent(float(share)), bool(name == said["label"]))
            for name, share in zip(names, shares, strict=True)
        ),
    )
