"""Models that are folders: the CLIP model and the predictor."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from sports_clip_pipeline.datasets.place import PlacedDataset
from sports_clip_pipeline.journal.disk import replacing_folder


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
        from sports_clip_pipeline.predictor.onnx_predictor import load_exported

        return load_exported(self._filepath)

    def save(self, data: Path) -> None:
        """Copy the assembled folder to its place, whole or not at all."""
        with replacing_folder(self._filepath) as partial:
            for file in data.iterdir():
                shutil.copyfile(file, partial / file.name)

    def _exists(self) -> bool:
        return (self._filepath / "exported.json").is_file()
