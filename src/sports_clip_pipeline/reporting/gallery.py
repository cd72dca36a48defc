"""The gallery: each photograph once, beside every picture that explains what was said of it."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sports_clip_pipeline.reporting.labels import class_name, percent

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
    """One photograph with what was said of it and why."""

    label: str
    predicted: str
    probability: str
    right: bool
    photo: str
    text: str
    explanations: tuple[Explanation, ...]


def compose_exhibits(cards: Sequence[Any], most: int) -> tuple[Exhibit, ...]:
    """Cards of one photograph joined, wrong predictions and right ones in the order they came.

    Args:
        cards: `explain.gallery.Card`s.
        most: photographs to show; those left out are the last ones of the larger kind. Those
            that contrast two classes come after them, all of them.
    Raises: ValueError: a picture of a type that is no image.
    """
    by_image: dict[str, list[Any]] = {}
    for card in cards:
        by_image.setdefault(card.image, []).append(card)
    contrasted = [group for group in by_image.values() if any(map(_is_contrast, group))]
    others = [group for group in by_image.values() if not any(map(_is_contrast, group))]
    return tuple(_exhibit(group) for group in [*_evenly(others, most), *contrasted])


def _is_contrast(card: Any) -> bool:
    return bool(card.question.startswith("contrast: "))


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


def _exhibit(cards: Sequence[Any]) -> Exhibit:
    first = cards[0]
    label, predicted = class_name(first.label), class_name(first.predicted)
    return Exhibit(
        label=label,
        predicted=predicted,
        probability=percent(float(first.probability)),
        right=_right(first),
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
