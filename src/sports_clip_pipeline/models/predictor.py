"""A classifier as a folder: the one thing that prediction, explanation and the report know.

`predictor.json` says what it is, `weights.safetensors` holds the head and, for a tower that was
trained, the tower.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from safetensors.numpy import load, save

from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.journal.disk import replacing_folder
from sports_clip_pipeline.models.head import Head, softmax
from sports_clip_pipeline.preprocessing.images import ImagePreprocessing

if TYPE_CHECKING:
    from torch import nn

FORM = 1


@dataclass(frozen=True)
class Predictor:
    """A head on a packaged tower's features, or a whole tower of its own.

    Attributes:
        classes: labels in the order of the logits.
        tower: name of the packaged image tower whose architecture (and weights) it uses.
        preprocessing: what the tower sees of a photograph.
        head: pooled features (N, D) to logits (N, C).
        temperature: logits are divided by it before the softmax; > 0.
        views: the head's features are means over these views of a photograph; empty for the
            preprocessing's own. `module()` sees the preprocessing's alone.
        tower_weights: state dict of a trained tower; empty for the packaged weights.
        origin: JSON-like record of how it was made (method, fraction, hyper-parameters …).
    """

    classes: tuple[str, ...]
    tower: str
    preprocessing: ImagePreprocessing
    head: Head
    temperature: float = 1.0
    views: tuple[str, ...] = ()
    tower_weights: dict[str, np.ndarray] = field(default_factory=dict)
    origin: dict[str, Any] = field(default_factory=dict)

    def predict_proba(self, features: np.ndarray) -> np.ndarray:
        """Probabilities (N, C) from pooled tower features (N, D)."""
        return softmax(self.head(features) / self.temperature)

    def predict_images(self, images: Sequence[Image.Image], batch: int = 32) -> np.ndarray:
        """Probabilities (N, C) from photographs, through eager torch."""
        from sports_clip_pipeline.models.towers import pooled_features

        tower: Any = self.module().tower
        rows = []
        for start in range(0, len(images), batch):
            block = images[start : start + batch]
            views = [
                view.normalise([view.crop(image) for image in block]) for view in self._views()
            ]
            rows.append(np.mean([pooled_features(tower, pixels) for pixels in views], axis=0))
        return self.predict_proba(np.concatenate(rows))

    def _views(self) -> list[ImagePreprocessing]:
        names = self.views or (self.preprocessing.view,)
        return [replace(self.preprocessing, view=name) for name in names]

    def module(self) -> nn.Module:
        """Normalised pixels (B, 3, H, W) to logits (B, C); has `.tower` and `.head`; eval mode."""
        from sports_clip_pipeline.models.tower_classifier import TowerClassifier

        return TowerClassifier(self.tower, self.tower_weights, self.head).eval()

    def save(self, folder: str | Path) -> None:
        """Write the folder, whole or not at all."""
        arrays = {f"head.{name}": value for name, value in self.head.to_arrays().items()}
        arrays |= {f"tower.{name}": value for name, value in self.tower_weights.items()}
        weights = save({name: np.ascontiguousarray(value) for name, value in arrays.items()})
        record = {
            "form": FORM,
            "classes": list(self.classes),
            "tower": self.tower,
            "tower_weights": "own" if self.tower_weights else "packaged",
            "preprocessing": self.preprocessing.to_dict(),
            "head": self.head.describe(),
            "temperature": self.temperature,
            "views": list(self.views),
            "weights_sha256": hashlib.sha256(weights).hexdigest(),
            "origin": self.origin,
        }
        with replacing_folder(Path(folder)) as partial:
            (partial / "weights.safetensors").write_bytes(weights)
            (partial / "predictor.json").write_text(json.dumps(record, indent=2) + "\n")


def load_predictor(path: str | Path) -> Predictor:
    """Read a predictor's folder.

    Raises: UserFacingError: a file is missing or damaged, or was written by another form.
    """
    folder = Path(path)
    remedy = "run `kedro run --pipelines=finetune` to make it again"
    try:
        record = json.loads((folder / "predictor.json").read_text())
        weights = (folder / "weights.safetensors").read_bytes()
    except (OSError, ValueError) as error:
        raise UserFacingError(folder, f"is no whole predictor ({error})", remedy) from error
    if record.get("form") != FORM:
        raise UserFacingError(folder, f"has form {record.get('form')!r}, wanted {FORM}", remedy)
    if hashlib.sha256(weights).hexdigest() != record["weights_sha256"]:
        raise UserFacingError(folder / "weights.safetensors", "its checksum differs", remedy)
    arrays = load(weights)
    return Predictor(
        classes=tuple(record["classes"]),
        tower=record["tower"],
        preprocessing=ImagePreprocessing.from_dict(record["preprocessing"]),
        head=Head.from_arrays(record["head"], _under("head.", arrays)),
        temperature=record["temperature"],
        views=tuple(record["views"]),
        tower_weights=_under("tower.", arrays),
        origin=record["origin"],
    )


def _under(prefix: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {
        key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)
    }
