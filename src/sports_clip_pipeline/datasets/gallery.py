"""The gallery of explanations on disk: a folder of pictures and their index."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import re
from pathlib import Path
from typing import Any

from kedro.io import DatasetError
from kedro_datasets._typing import ImagePreview

from sports_clip_pipeline.datasets.place import PlacedDataset
from sports_clip_pipeline.explain.gallery import JPEG, Card, contact_sheet
from sports_clip_pipeline.journal.disk import replacing_folder

_PICTURES = ("photo_jpeg", "map_jpeg")
_PICTURE_NAME = re.compile(r"[0-9a-f]{16}\.jpg")
_INDEX = "index.json"


class GalleryDataset(PlacedDataset[list[Card], list[Card]]):
    """A list of cards: `index.json`, and each different picture once, named by its content.

    The folder is written beside its place and renamed into it: readers find the old gallery or
    the new one.
    """

    def load(self) -> list[Card]:
        """The cards. Raises: DatasetError: the folder is not a whole gallery."""
        try:
            entries = json.loads((self._filepath / _INDEX).read_text(encoding="utf-8"))["cards"]
            return [self._read(entry) for entry in entries]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DatasetError(f"{self._filepath}: cannot be read ({error})") from error

    def save(self, data: list[Card]) -> None:
        """Write all cards, whole or not at all."""
        with replacing_folder(self._filepath) as partial:
            entries = [_write(partial, card) for card in data]
            index = json.dumps({"cards": entries}, indent=1, ensure_ascii=False)
            (partial / _INDEX).write_text(index, encoding="utf-8")

    def preview(self) -> ImagePreview:
        """The first pairs of photograph and map as one picture, for Kedro-Viz."""
        cards = self.load()[:16]
        pictures = [getattr(card, name) for card in cards for name in _PICTURES]
        content = contact_sheet(pictures, columns=8, cell_px=112) if pictures else b""
        return ImagePreview(base64.b64encode(content).decode("ascii"))

    def _read(self, entry: dict[str, Any]) -> Card:
        for name in _PICTURES:
            if not _PICTURE_NAME.fullmatch(str(entry[name])):
                raise ValueError(f"{entry[name]!r} is no picture of a gallery")
        pictures = {name: (self._filepath / entry[name]).read_bytes() for name in _PICTURES}
        return Card(**{**entry, **pictures})

    def _exists(self) -> bool:
        return (self._filepath / _INDEX).is_file()


def _write(folder: Path, card: Card) -> dict[str, Any]:
    """Write a card's pictures; its index entry names them in place of their bytes."""
    if card.mime != JPEG:
        raise DatasetError(f"{card.image}: a gallery keeps {JPEG} alone, got {card.mime}")
    entry = dataclasses.asdict(card)
    for name in _PICTURES:
        content = entry[name]
        entry[name] = f"{hashlib.sha256(content).hexdigest()[:16]}.jpg"
        (folder / entry[name]).write_bytes(content)
    return entry
