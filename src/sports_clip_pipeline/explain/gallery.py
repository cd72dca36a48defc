"""Gallery cards (an image, a question, a saliency map) and contact sheets."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

JPEG = "image/jpeg"


@dataclass(frozen=True)
class Card:
    """One explanation.

    Attributes:
        image: name in the manifest.
        label, predicted: true class, and the classifier's.
        probability: of the predicted class, by the classifier, in [0, 1].
        question: what is explained: `class: LABEL`, `prompt: TEXT` or
            `contrast: LABEL rather than LABEL`.
        method: how, for people to read.
        photo_jpeg: what the encoder saw, as JPEG bytes.
        map_jpeg: the explanation, of the same size in pixels, as JPEG bytes.
        mime: of both, for data URIs.
    """

    image: str
    label: str
    predicted: str
    probability: float
    question: str
    method: str
    photo_jpeg: bytes
    map_jpeg: bytes
    mime: str = JPEG

    @property
    def right(self) -> bool:
        """Whether the classifier was right."""
        return self.label == self.predicted


def contact_sheet(pictures: Sequence[bytes], columns: int, cell_px: int) -> bytes:
    """Encoded pictures side by side, each within a square cell, as PNG bytes of 128 colours.

    Raises: ValueError: no pictures.
    """
    from PIL import Image

    if not pictures:
        raise ValueError("a contact sheet wants at least one picture")
    columns = min(columns, len(pictures))
    size = (columns * cell_px, math.ceil(len(pictures) / columns) * cell_px)
    sheet = Image.new("RGB", size, "white")
    for place, content in enumerate(pictures):
        row, column = divmod(place, columns)
        with Image.open(io.BytesIO(content)) as picture:
            picture.thumbnail((cell_px, cell_px))
            sheet.paste(picture, (column * cell_px, row * cell_px))
    buffer = io.BytesIO()
    sheet.quantize(128).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
