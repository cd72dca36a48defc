"""Kedro datasets of folders: archives, image stores, predictors, the gallery, run state."""

import base64
import dataclasses
import hashlib
import json
import re
import shutil
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from kedro.io import DatasetError
from kedro_datasets._typing import ImagePreview

from sports_clip_pipeline.data.archives import Archive, find_archive
from sports_clip_pipeline.data.image_store import INDEX, ImageStore, publish
from sports_clip_pipeline.io.files import PathDataset
from sports_clip_pipeline.io.state import RunState, replacing_folder

if TYPE_CHECKING:
    from sports_clip_pipeline.explain.explainer import Card


class _ReadOnly(PathDataset):
    """A folder that always exists for Kedro and that Kedro never saves."""

    def save(self, data: Any) -> NoReturn:
        raise DatasetError(f"{self._filepath}: is never saved by Kedro")

    def _exists(self) -> bool:
        return True


class RunStateDataset(_ReadOnly):
    """The resumable state of one pipeline; nodes write through the loaded object."""

    def load(self) -> RunState:
        """The run state."""
        return RunState(self._filepath)


class FeatureCacheDataset(_ReadOnly):
    """The content-addressed cache of features, shared by all studies."""

    def load(self) -> Any:
        """The `encoders.features.FeatureCache`."""
        from sports_clip_pipeline.encoders.features import FeatureCache

        return FeatureCache(self._filepath)


class RawFolderDataset(_ReadOnly):
    """The raw folder as a `pathlib.Path`; it need not exist yet."""


class ArchiveDataset(_ReadOnly):
    """`FILEPATH.zip` or the folder `FILEPATH`; the zip is preferred."""

    def load(self) -> Archive:
        """The archive, not yet listed. Raises: UserFacingError: neither form exists."""
        return Archive.open(self._filepath)

    def _exists(self) -> bool:
        return find_archive(self._filepath) is not None


class ImageStoreDataset(PathDataset):
    """An image store: a folder of Arrow shards with an index."""

    _marker = INDEX

    def load(self) -> ImageStore:
        """Open the store. Raises: UserFacingError: the store is missing or incomplete."""
        return ImageStore(self._filepath)

    def save(self, data: ImageStore) -> None:
        """Hard-link (or copy) the shards, unless the same store is already there."""
        publish(data, self._filepath)


class _FolderPath(PathDataset):
    """A folder; saved by copying a node's folder atomically, loaded as its path."""

    def save(self, data: Path) -> None:
        """Copy the folder `data`."""
        with replacing_folder(self._filepath) as folder:
            shutil.copytree(data, folder, dirs_exist_ok=True)


class ClipFolderDataset(_FolderPath):
    """A CLIP model in open_clip's folder format, for `load_clip` and `read_projections`."""

    _marker = "open_clip_config.json"

    def save(self, data: Path) -> None:
        """Copy the folder `data` and adapt the absolute paths in it."""
        from sports_clip_pipeline.clip.folder import relocate

        with replacing_folder(self._filepath) as folder:
            shutil.copytree(data, folder, dirs_exist_ok=True)
            relocate(folder, self._filepath)


class ExportedPredictorDataset(_FolderPath):
    """An ONNX predictor; saved by copying a node's folder, loaded for inference."""

    _marker = "exported.json"

    def load(self) -> Any:
        """The ONNX predictor, see `predictor.onnx_export`."""
        from sports_clip_pipeline.predictor.onnx_export import load_exported

        return load_exported(self._filepath)


class MovedFolder(_FolderPath):
    """A folder of files; saved by moving those of a node's folder, loaded as its path."""

    def save(self, data: Path) -> None:
        """Move the files of `data`; an empty folder removes the former one."""
        files = sorted(data.iterdir())
        if not files:
            shutil.rmtree(self._filepath, ignore_errors=True)
            return
        with replacing_folder(self._filepath) as folder:
            for file in files:
                shutil.move(file, folder / file.name)


class PredictorDataset(PathDataset):
    """A `predictor.predictor.Predictor` in its folder format."""

    _marker = "predictor.json"

    def load(self) -> Any:
        """The predictor."""
        from sports_clip_pipeline.predictor.predictor import load_predictor

        return load_predictor(self._filepath)

    def save(self, data: Any) -> None:
        """Save the predictor."""
        data.save(self._filepath)


class PredictorFoldersDataset(PathDataset):
    """Several predictors, each in a subfolder with its name.

    Saved from name -> function that makes the predictor, so that one at a time is in memory;
    loaded as name -> function that loads it. Predictors of other names are removed.
    """

    def load(self) -> dict[str, Any]:
        """Loaders of the predictors, by name."""
        from sports_clip_pipeline.predictor.predictor import load_predictor

        folders = sorted(path.parent for path in self._filepath.glob("*/predictor.json"))
        return {folder.name: partial(load_predictor, folder) for folder in folders}

    def save(self, data: Any) -> None:
        """Save each predictor, then remove the folders of other names."""
        self._filepath.mkdir(parents=True, exist_ok=True)
        for name, make in data.items():
            make().save(self._filepath / name)
        for folder in self._filepath.iterdir():
            if folder.name not in data and (folder / "predictor.json").is_file():
                shutil.rmtree(folder)


_IMAGES = ("photo_jpeg", "map_jpeg")
_IMAGE_NAME = re.compile(r"[0-9a-f]{16}\.jpg")
_INDEX = "index.json"


class GalleryDataset(PathDataset):
    """A list of cards: `index.json`, and each distinct image once, named by its content hash."""

    _marker = _INDEX

    def load(self) -> "list[Card]":
        """The cards. Raises: DatasetError: the folder is incomplete or damaged."""
        try:
            entries = json.loads((self._filepath / _INDEX).read_text(encoding="utf-8"))["cards"]
            return [self._read(entry) for entry in entries]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DatasetError(f"{self._filepath}: cannot be read ({error})") from error

    def save(self, data: "list[Card]") -> None:
        """Save all cards atomically."""
        with replacing_folder(self._filepath) as folder:
            entries = [_write_card(folder, card) for card in data]
            index = json.dumps({"cards": entries}, indent=1, ensure_ascii=False)
            (folder / _INDEX).write_text(index, encoding="utf-8")

    def preview(self) -> ImagePreview:
        """Contact sheet of the first 16 image-map pairs, for Kedro-Viz."""
        from sports_clip_pipeline.explain.explainer import contact_sheet

        images = [getattr(card, name) for card in self.load()[:16] for name in _IMAGES]
        content = contact_sheet(images, columns=8, cell_px=112) if images else b""
        return ImagePreview(base64.b64encode(content).decode("ascii"))

    def _read(self, entry: dict[str, Any]) -> "Card":
        from sports_clip_pipeline.explain.explainer import Card

        images = {}
        for name in _IMAGES:
            if not _IMAGE_NAME.fullmatch(str(entry[name])):
                raise ValueError(f"{entry[name]!r} is no image of a gallery")
            images[name] = (self._filepath / entry[name]).read_bytes()
        return Card(**{**entry, **images})


def _write_card(folder: Path, card: "Card") -> dict[str, Any]:
    """Write a card's images. Returns: its index entry, with file names in place of bytes."""
    entry = dataclasses.asdict(card)
    for name in _IMAGES:
        content = entry[name]
        entry[name] = f"{hashlib.sha256(content).hexdigest()[:16]}.jpg"
        (folder / entry[name]).write_bytes(content)
    return entry
