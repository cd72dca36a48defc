"""Photographs to look at: those likely mislabelled, and those worth a label next."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
from PIL import Image

from sports_clip_pipeline.corpora.store import ImageStore
from sports_clip_pipeline.reporting.frames import records
from sports_clip_pipeline.reporting.gallery import data_uri
from sports_clip_pipeline.reporting.labels import class_name, percent

_QUALITY = 80


@dataclass(frozen=True)
class Suspect:
    """A small photograph with its words.

    Attributes:
        picture: data URI; empty where the photograph is not at hand.
        text: what screen readers say of the picture.
        title: what it is about, in a few words.
        lines: the rest.
        image: its name.
    """

    picture: str
    text: str
    title: str
    lines: tuple[str, ...]
    image: str


def foremost(table: pd.DataFrame, most: int) -> pd.DataFrame:
    """The rows of the lowest ranks, in their order. `table` has `rank`, or nothing at all."""
    return table if table.empty else table.sort_values("rank", kind="stable").head(most)


def draw_thumbnails(
    images: Iterable[str], store: ImageStore, names: Iterable[str], side: int
) -> dict[str, bytes]:
    """Small copies of some photographs.

    Args:
        images: the names of those wanted; each once.
        store: of the corpus.
        names: of the photographs in the store, row by row.
        side: pixels of the longer side at most.
    Returns: name -> JPEG.
    Raises: KeyError: a photograph that is not in the store.
    """
    row = {name: place for place, name in enumerate(names)}
    return {image: _thumbnail(store.get(row[image]), side) for image in dict.fromkeys(images)}


def _thumbnail(image: Image.Image, side: int) -> bytes:
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()


def mislabelled_suspects(
    mislabelled: pd.DataFrame, thumbnails: Mapping[str, bytes], most: int
) -> tuple[Suspect, ...]:
    """The photographs whose label is most likely wrong, the likeliest first."""
    return tuple(
        Suspect(
            picture=_picture(thumbnails, row),
            text=f"Photograph labelled {class_name(row['label'])}",
            title=f"{class_name(row['suggested'])}?",
            lines=(
                f"labelled {class_name(row['label'])}, {percent(row['self_confidence'])} likely",
            ),
            image=row["image"],
        )
        for row in records(foremost(mislabelled, most))
    )


def next_suspects(
    label_queries: pd.DataFrame, thumbnails: Mapping[str, bytes], most: int
) -> tuple[Suspect, ...]:
    """The photographs whose labels would help most, the first the most."""
    return tuple(
        Suspect(
            picture=_picture(thumbnails, row),
            text=f"Photograph without a label, number {row['rank']}",
            title=f"{row['rank']}. {class_name(row['predicted'])}?",
            lines=(f"{percent(row['probability'])} sure", class_name(row["reason"])),
            image=row["image"],
        )
        for row in records(foremost(label_queries, most))
    )


def _picture(thumbnails: Mapping[str, bytes], row: Mapping[str, Any]) -> str:
    content = thumbnails.get(row["image"])
    return data_uri(content, "image/jpeg") if content else ""
