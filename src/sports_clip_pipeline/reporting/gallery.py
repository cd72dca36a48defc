"""The gallery: each photograph once, with both answers and every picture that explains them."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.reporting.answers import SureBand, TopAnswers, band_of, top_answers
from sports_clip_pipeline.reporting.frames import records
from sports_clip_pipeline.reporting.labels import class_name

MIMES = ("image/jpeg", "image/png", "image/webp")


@dataclass(frozen=True)
class Explanation:
    """One map: the question in words, the method, the picture as a data URI, and its text."""

    question: str
    method: str
    picture: str
    text: str


@dataclass(frozen=True)
class Exhibit:
    """One photograph with what was said of it and why.

    Attributes:
        image: its name.
        label: its class, as people read it.
        right: whether the fine-tuned answer is.
        answers: zero-shot, then fine-tuned.
        sure: how sure the fine-tuned answer is.
        photo, text: the picture as a data URI, and what screen readers say of it.
        explanations: maps of the same photograph.
    """

    image: str
    label: str
    right: bool
    answers: tuple[TopAnswers, TopAnswers]
    sure: SureBand
    photo: str
    text: str
    explanations: tuple[Explanation, ...]

    @property
    def verdicts(self) -> tuple[str, ...]:
        """`right` or `wrong`, and what labels changed: `mended`, `broken` or nothing."""
        before = self.answers[0].right
        if before == self.right:
            return ("right",) if self.right else ("wrong",)
        return ("right", "mended") if self.right else ("wrong", "broken")


def compose_exhibits(
    cards: Sequence[Any], predictions: pd.DataFrame, most: int
) -> tuple[Exhibit, ...]:
    """Cards of one photograph joined, wrong predictions and right ones in the order they came.

    Args:
        cards: `explain.gallery.Card`s.
        predictions: `test_predictions`, which says what was answered.
        most: photographs to show; those left out are the last ones of the larger kind. Those
            that contrast two classes come after them, all of them.
    Raises: ValueError: a picture of a type that is no image. UserFacingError: the maps explain
        the answers of another classifier.
    """
    by_image: dict[str, list[Any]] = {}
    for card in cards:
        by_image.setdefault(card.image, []).append(card)
    said = {row["image"]: row for row in records(predictions[predictions.image.isin(by_image)])}
    _check_same(by_image, said)
    contrasted = [group for group in by_image.values() if any(map(_is_contrast, group))]
    others = [group for group in by_image.values() if not any(map(_is_contrast, group))]
    shown = [*_evenly(others, most), *contrasted]
    return tuple(_exhibit(group, said[group[0].image]) for group in shown)


def _is_contrast(card: Any) -> bool:
    return bool(card.question.startswith("contrast: "))


def _check_same(by_image: Mapping[str, list[Any]], said: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse maps of another classifier's answers."""
    for image, (card, *_) in by_image.items():
        if image not in said or said[image]["finetuned_label"] != card.predicted:
            what = f"{image} was explained for another classifier than the one that is reported"
            raise UserFacingError("cam_gallery", what, "run `kedro run --pipelines=cam,report`")


def _evenly(groups: Iterable[list[Any]], most: int) -> list[list[Any]]:
    """At most `most` groups, right and wrong ones in equal numbers as far as there are any."""
    kinds: dict[bool, list[list[Any]]] = {True: [], False: []}
    for group in groups:
        kinds[_right(group[0])].append(group)
    right, wrong = kinds[True], kinds[False]
    rights = min(len(right), max(most - most // 2, most - len(wrong)))
    return right[:rights] + wrong[: most - rights]


def _right(card: Any) -> bool:
    return bool(card.label == card.predicted)


def _exhibit(cards: Sequence[Any], said: Mapping[str, Any]) -> Exhibit:
    first = cards[0]
    label = class_name(first.label)
    finetuned = top_answers("Fine-tuned", "finetuned", said)
    return Exhibit(
        image=first.image,
        label=label,
        right=_right(first),
        answers=(top_answers("Zero-shot", "zero_shot", said), finetuned),
        sure=band_of(float(said["finetuned_probability"])),
        photo=data_uri(first.photo_jpeg, first.mime),
        text=f"Photograph of the class {label}",
        explanations=tuple(_explanation(card, label) for card in cards),
    )


def _explanation(card: Any, label: str) -> Explanation:
    kind, _, asked = card.question.partition(": ")
    if kind == "contrast":
        asked = class_name(asked)
        return Explanation(
            question=f"What speaks for {asked}?",
            method=card.method,
            picture=data_uri(card.map_jpeg, card.mime),
            text=f"{card.method} map of the same photograph of {label} for {asked}",
        )
    asked = class_name(asked) if kind == "class" else f"“{asked}”"
    return Explanation(
        question=f"Where is {asked}?" if kind == "class" else asked,
        method=card.method,
        picture=data_uri(card.map_jpeg, card.mime),
        text=f"{card.method} map of the same photograph of {label} for {asked}",
    )


def data_uri(content: bytes, mime: str) -> str:
    """An image written into the page itself.

    Raises: ValueError: `mime` is none of `MIMES`.
    """
    if mime not in MIMES:
        raise ValueError(f"a picture is one of {', '.join(MIMES)}, got {mime!r}")
    return f"data:{mime};base64,{base64.b64encode(content).decode()}"
