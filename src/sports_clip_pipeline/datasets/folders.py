"""Models that are folders: the CLIP model and the predictor."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset

from sports_clip_pipeline.journal.disk import replacing_folder


class ClipFolderDataset(AbstractDataset[Path, Path]):
    """open_clip's folder form. Saved from a folder that a node assembled; loaded as its path."""

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> Path:
        """The folder's path, for `load_clip` and `read_projections`."""
        return self._filepath

    def save(self, data: Path) -> None:
        """Copy the assembled folder to its place, whole or not at all; fit its paths to it."""
        from sports_clip_pipeline.models.clip_folder import relocate

        with replacing_folder(self._filepath) as partial:
            for file in data.iterdir():
                shutil.copyfile(file, partial / file.name)
            relocate(partial, self._filepath)

    def _exists(self) -> bool:
        return (self._filepath / "open_clip_config.json").is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}


class PredictorDataset(AbstractDataset[Any, Any]):
    """A `models.predictor.Predictor` as its folder."""

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> Any:
        """The predictor."""
        from sports_clip_pipeline.models.predictor import load_predictor

        return load_predictor(self._filepath)

    def save(self, data: Any) -> None:
        """Write the folder."""
        data.save(self._filepath)

    def _exists(self) -> bool:
        return (self._filepath / "predictor.json").is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}
