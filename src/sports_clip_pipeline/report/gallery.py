"""Gallery of explained images: both classifiers' top-5, explanation maps, and the filters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd

from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.report import formatting as fmt
from sports_clip_pipeline.report.image_sections import data_uri

# Confidence bands, highest first: key -> name, lower end; the one before is the upper end.
BANDS = {"high": ("90 % or more", 0.9), "middle": ("50 to 90 %", 0.5), "low": ("below 50 %", 0.0)}
OUTCOMES = {
    "right": "Right",
    "wrong": "Wrong",
    "corrected": "Right, zero-shot wrong",
    "broken": "Wrong, zero-shot right",
}


class Prediction(NamedTuple):
    """A predicted class with its probability, and whether it is the true one."""

    name: str
    probability: str
    right: bool


class TopPredictions(NamedTuple):
    """The most probable classes of an image by one classifier, the first first."""

    classifier: str
    predictions: tuple[Prediction, ...]

    @property
    def right(self) -> bool:
        """Whether the first one is the true class."""
        return self.predictions[0].right


class ExplanationMap(NamedTuple):
    """An explanation map: question, method, picture as a data URI, and alternative text."""

    question: str
    method: str
    src: str
    alt: str


@dataclass(frozen=True)
class Exhibit:
    """An image of the gallery with its predictions and explanation maps.

    Attributes:
        image, label: its name and class.
        right: whether the fine-tuned prediction is right.
        predictions: zero-shot, then fine-tuned.
        band: key of the confidence band of the fine-tuned prediction.
        src, alt: the picture as a data URI, and its alternative text.
    """

    image: str
    label: str
    right: bool
    predictions: tuple[TopPredictions, TopPredictions]
    band: str
    src: str
    alt: str
    maps: tuple[ExplanationMap, ...]

    @property
    def outcomes(self) -> tuple[str, ...]:
        """`right` or `wrong`, and what labels changed: `corrected`, `broken` or nothing."""
        first = "right" if self.right else "wrong"
        if self.predictions[0].right == self.right:
            return (first,)
        return (first, "corrected" if self.right else "broken")


class Filter(NamedTuple):
    """A filter of the gallery; its choices are value, name and number of images.

    `key` names the `data-` attribute that holds an exhibit's value.
    """

    key: str
    label: str
    everything: str
    choices: tuple[tuple[str, str, int], ...]


def confidence_band(probability: float) -> str:
    """The key of the confidence band of a probability in [0, 1].

    >>> confidence_band(0.9), confidence_band(0.8999), confidence_band(0.2)
    ('high', 'middle', 'low')
    """
    return next(key for key, (_, low) in BANDS.items() if probability >= low)


def compose_exhibits(
    cards: Sequence[Any], predictions: pd.DataFrame, most: int
) -> tuple[Exhibit, ...]:
    """The gallery: the cards of one image are one exhibit.

    Args:
        cards: `explain.gallery.Card`s.
        predictions: both classifiers' predictions on the test images.
        most: images to show, right and wrong ones in equal numbers as far as there are any. Images
            with contrast maps follow, all of them.
    Raises: ValueError: a picture that is no image. UserFacingError: the maps explain the
        predictions of another classifier.
    """
    by_image: dict[str, list[Any]] = {}
    for card in cards:
        by_image.setdefault(card.image, []).append(card)
    known = predictions[predictions.image.isin(by_image)].to_dict("records")
    rows = {row["image"]: row for row in known}
    for image, (card, *_) in by_image.items():
        if image not in rows or rows[image]["finetuned_label"] != card.predicted:
            what = f"{image} was explained for another classifier than the one that is reported"
            raise UserFacingError("cam_gallery", what, "run `kedro run --pipelines=cam,report`")
    groups: dict[str, list[list[Any]]] = {"right": [], "wrong": [], "contrast": []}
    for group in by_image.values():
        contrast = any(card.question.startswith("contrast: ") for card in group)
        groups["contrast" if contrast else "right" if group[0].right else "wrong"].append(group)
    right, wrong = groups["right"], groups["wrong"]
    rights = min(len(right), max(most - most // 2, most - len(wrong)))
    shown = [*right[:rights], *wrong[: most - rights], *groups["contrast"]]
    return tuple(_exhibit(group, rows[group[0].image]) for group in shown)


def _exhibit(cards: Sequence[Any], row: Mapping[Any, Any]) -> Exhibit:
    first, label = cards[0], fmt.class_name(cards[0].label)
    return Exhibit(
        image=first.image,
        label=label,
        right=bool(first.right),
        predictions=(_top5("Zero-shot", "zero_shot", row), _top5("Fine-tuned", "finetuned", row)),
        band=confidence_band(float(row["finetuned_probability"])),
        src=data_uri(first.photo_jpeg, first.mime),
        alt=f"Image of the class {label}",
        maps=tuple(_explanation_map(card, label) for card in cards),
    )


def _top5(classifier: str, prefix: str, row: Mapping[Any, Any]) -> TopPredictions:
    names, shares = row[f"{prefix}_top5"], row[f"{prefix}_top5_probabilities"]
    predictions = (
        Prediction(fmt.class_name(name), fmt.percent(float(share)), bool(name == row["label"]))
        for name, share in zip(names, shares, strict=True)
    )
    return TopPredictions(classifier, tuple(predictions))


def _explanation_map(card: Any, label: str) -> ExplanationMap:
    kind, _, subject = card.question.partition(": ")
    subject = f"“{subject}”" if kind == "prompt" else fmt.class_name(subject)
    questions = {"contrast": f"Evidence for {subject}", "class": f"Where is {subject}?"}
    alt = f"{card.method} map of the same image of {label} for {subject}"
    picture = data_uri(card.map_jpeg, card.mime)
    return ExplanationMap(questions.get(kind, subject), card.method, picture, alt)


def compose_filters(exhibits: Sequence[Exhibit]) -> tuple[Filter, ...]:
    """Filters by true class, by outcome and by confidence, with the choices that occur."""

    def choices(names: Mapping[str, str], found: list[tuple[str, ...]]) -> tuple[Any, ...]:
        counts = Counter(value for some in found for value in some)
        return tuple((key, name, counts[key]) for key, name in names.items() if counts[key])

    classes = {name: name for name in sorted({one.label for one in exhibits})}
    bands = choices({key: name for key, (name, _) in BANDS.items()}, [(x.band,) for x in exhibits])
    outcomes = choices(OUTCOMES, [one.outcomes for one in exhibits])
    labels = choices(classes, [(one.label,) for one in exhibits])
    return (
        Filter("label", "True class", "All classes", labels),
        Filter("outcome", "Fine-tuned prediction", "Right and wrong", outcomes),
        Filter("band", "Its confidence", "Any", bands),
    )
