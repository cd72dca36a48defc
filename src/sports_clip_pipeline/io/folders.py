"""Kedro datasets of folders: archives, image stores, predictors, handles."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any, NoReturn

from kedro.io import DatasetError
from kedro_datasets._typing import ImagePreview
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from sports_clip_pipeline.data.archives import Archive
from sports_clip_pipeline.data.image_store import INDEX, ImageStore, publish
from sports_clip_pipeline.explain.explainer import JPEG, Card, contact_sheet
from sports_clip_pipeline.io.base import PlacedDataset
from sports_clip_pipeline.io.state import DiskJournal, replacing_folder, write_atomically
from sports_clip_pipeline.predictor.head import Head


class _Handle(PlacedDataset[Any, Any]):
    """A folder handed to a node as an object; always there, never saved by Kedro."""

    def save(self, data: Any) -> NoReturn:
        """Refuse: the node writes through the handle."""
        raise DatasetError(f"{self._filepath}: this is a handle; nodes write through it")

    def _exists(self) -> bool:
        return True


class JournalDataset(_Handle):
    """The journal of one pipeline, kept in a folder."""

    def load(self) -> DiskJournal:
        """The journal."""
        return DiskJournal(self._filepath)


class FeatureCacheDataset(_Handle):
    """The content-addressed cache of features, shared by all studies."""

    def load(self) -> Any:
        """The cache."""
        from sports_clip_pipeline.encoders.feature_store import FeatureCache

        return FeatureCache(self._filepath)


class ClipFolderDataset(PlacedDataset[Path, Path]):
    """open_clip's folder form. Saved from a folder that a node assembled; loaded as its path."""

    def load(self) -> Path:
        """The folder's path, for `load_clip` and `read_projections`."""
        return self._filepath

    def save(self, data: Path) -> None:
        """Copy the assembled folder to its place, whole or not at all; fit its paths to it."""
        from sports_clip_pipeline.clip.folder import relocate

        with replacing_folder(self._filepath) as partial:
            for file in data.iterdir():
                shutil.copyfile(file, partial / file.name)
            relocate(partial, self._filepath)

    def _exists(self) -> bool:
        return (self._filepath / "open_clip_config.json").is_file()


class PredictorDataset(PlacedDataset[Any, Any]):
    """A `models.predictor.Predictor` as its folder."""

    def load(self) -> Any:
        """The predictor."""
        from sports_clip_pipeline.predictor.predictor import load_predictor

        return load_predictor(self._filepath)

    def save(self, data: Any) -> None:
        """Write the folder."""
        data.save(self._filepath)

    def _exists(self) -> bool:
        return (self._filepath / "predictor.json").is_file()


class PredictorFoldersDataset(PlacedDataset[Any, Any]):
    """Several predictors, each a folder under its name; what is no longer among them goes.

    Saved from name -> function that makes the predictor, so that one at a time is in memory;
    loaded as name -> function that reads it.
    """

    def load(self) -> dict[str, Any]:
        """Readers of the predictors, by name."""
        from functools import partial

        from sports_clip_pipeline.predictor.predictor import load_predictor

        folders = sorted(path.parent for path in self._filepath.glob("*/predictor.json"))
        return {folder.name: partial(load_predictor, folder) for folder in folders}

    def save(self, data: Any) -> None:
        """Write each folder whole; then remove the folders of other names."""
        self._filepath.mkdir(parents=True, exist_ok=True)
        for name, make in data.items():
            make().save(self._filepath / name)
        for folder in self._filepath.iterdir():
            if folder.name not in data and (folder / "predictor.json").is_file():
                shutil.rmtree(folder)

    def _exists(self) -> bool:
        return self._filepath.is_dir()


class ExportedPredictorDataset(PlacedDataset[Path, Any]):
    """An exported predictor. Saved from a folder that a node assembled; loaded to be asked."""

    def load(self) -> Any:
        """The `models.exported.ExportedPredictor`."""
        from sports_clip_pipeline.predictor.onnx_export import load_exported

        return load_exported(self._filepath)

    def save(self, data: Path) -> None:
        """Copy the assembled folder to its place, whole or not at all."""
        with replacing_folder(self._filepath) as partial:
            for file in data.iterdir():
                shutil.copyfile(file, partial / file.name)

    def _exists(self) -> bool:
        return (self._filepath / "exported.json").is_file()


class ArchiveDataset(PlacedDataset[Any, Archive]):
    """`FILEPATH.zip`, or the folder `FILEPATH`; the zip wins where both stand.

    Example:
        >>> ArchiveDataset(filepath="data/01_raw/real/flickr8k").load()
    """

    def load(self) -> Archive:
        """The archive, not yet listed. Raises: UserFacingError: neither form stands there."""
        return Archive.open(self._filepath)

    def save(self, data: Any) -> NoReturn:
        """Refuse: raw data are never written."""
        raise DatasetError(f"{self._filepath}: raw data are never written")

    def _exists(self) -> bool:
        packed = self._filepath.with_name(f"{self._filepath.name}.zip")
        return packed.is_file() or self._filepath.is_dir()


class ImageStoreDataset(PlacedDataset[ImageStore, ImageStore]):
    """A folder of Arrow shards with an index.

    Example:
        >>> ImageStoreDataset(filepath="data/03_primary/sample/sports_images").load()
    """

    def load(self) -> ImageStore:
        """Open the store. Raises: UserFacingError: no complete store stands there."""
        return ImageStore(self._filepath)

    def save(self, data: ImageStore) -> None:
        """Link (or copy) the shards into place; nothing is done when they already stand there."""
        publish(data, self._filepath)

    def _exists(self) -> bool:
        return (self._filepath / INDEX).is_file()


class RawFolderDataset(PlacedDataset[Any, Any]):
    """The raw folder as a `pathlib.Path`; it need not exist yet.

    Example:
        >>> RawFolderDataset(filepath="data/01_raw/real").load().name
        'real'
    """

    def load(self) -> Path:
        """The folder's path."""
        return self._filepath

    def save(self, data: Any) -> NoReturn:
        """Refuse: raw corpora are placed by `download` or by hand."""
        raise DatasetError(f"{self._filepath}: the raw folder is never saved by Kedro")

    def _exists(self) -> bool:
        return True


class HeadFile(PlacedDataset[Head, Head]):
    """A `models.head.Head`.

    Example:
        >>> HeadFile(filepath="zero_shot_head.safetensors").save(head)
    """

    def load(self) -> Head:
        """The head. Raises: DatasetError: no whole file of a head stands there."""
        try:
            with safe_open(self._filepath, framework="numpy") as file:
                kinds = json.loads(file.metadata()["operations"])
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise DatasetError(f"{self._filepath}: cannot be read ({error})") from error
        return Head.from_arrays(kinds, arrays)

    def save(self, data: Head) -> None:
        """Write the head, whole or not at all."""
        kinds = json.dumps(data.describe())
        write_atomically(self._filepath, save(data.to_arrays(), {"operations": kinds}))

    def _exists(self) -> bool:
        return self._filepath.is_file()


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
