"""An exported predictor: ONNX Runtime, NumPy and Pillow are all that it needs.

A folder with `model.onnx` (large weights in `model.onnx.data` beside it) and `exported.json`. The
network takes crops of bytes and gives calibrated probabilities.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sports_clip_pipeline.data.transforms import InputSpec
from sports_clip_pipeline.encoders.backends import onnx_session
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.predictor.batch_prediction import predict_rows

FORMAT = 1
RECORD, NETWORK = "exported.json", "model.onnx"
PROBABILITIES = "probabilities"
_REMEDY = "run `kedro run --pipelines=export` to make it again"


class ExportedPredictor:
    """A network and what has to be known of it.

    Attributes:
        classes: labels in the order of the probabilities.
        input_specs: what the network sees of an image, in the order of its inputs.
        threshold: the least probability of a class that is answered; None answers all.
        record: all of `exported.json`.
        rows: images that are best given at once: few, so that they stay in a core's cache.
    """

    rows = 2

    def __init__(self, folder: Path, record: Mapping[str, Any], threads: int) -> None:
        """Open a folder whose record was read; `load_exported` checks it first."""
        self.record = dict(record)
        self.classes = tuple(record["classes"])
        self.input_specs = tuple(InputSpec.from_dict(spec) for spec in record["input_specs"])
        self.threshold: float | None = record["threshold"]
        self._session = onnx_session(folder / NETWORK, threads)

    def __call__(self, crops: Sequence[np.ndarray]) -> np.ndarray:
        """(B, S, S, 3) uint8 of each spec to probabilities (B, C) float32."""
        found = [np.zeros((0, len(self.classes)), dtype=np.float32)]
        for start in range(0, len(crops[0]), self.rows):
            block = [square[start : start + self.rows] for square in crops]
            named = {
                spec.name: square for spec, square in zip(self.input_specs, block, strict=True)
            }
            found.append(self._session.run([PROBABILITIES], named)[0])
        return np.concatenate(found)

    def predict_images(self, images: Sequence[Image.Image]) -> np.ndarray:
        """Probabilities (N, C) float32 of upright images."""
        found = [np.zeros((0, len(self.classes)), dtype=np.float32)]
        for start in range(0, len(images), self.rows):
            block = images[start : start + self.rows]
            crops = [np.stack([spec.pixels(image) for image in block]) for spec in self.input_specs]
            found.append(self(crops))
        return np.concatenate(found)

    def answers(self, probabilities: np.ndarray) -> list[str]:
        """The most probable class of each row (N, C), `none of these` below the threshold."""
        return predict_rows(probabilities, self.classes, self.threshold)


def load_exported(path: str | Path, threads: int = 0) -> ExportedPredictor:
    """Read an exported predictor's folder; imports no torch.

    Args:
        threads: of ONNX Runtime; 0 means one for each core.
    Raises: UserFacingError: a file is missing or damaged, or is of another format.
    """
    folder = Path(path)
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        file_format, checksum = record["format"], record["sha256"]
        found = network_digest(folder)
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise UserFacingError(folder, f"is no exported predictor ({error!r})", _REMEDY) from error
    if file_format != FORMAT:
        raise UserFacingError(folder, f"has format {file_format!r}, wanted {FORMAT}", _REMEDY)
    if found != checksum:
        raise UserFacingError(folder / NETWORK, "its checksum differs", _REMEDY)
    try:
        return ExportedPredictor(folder, record, threads)
    except (LookupError, TypeError, ValueError) as error:
        what = f"does not say what it should ({error!r})"
        raise UserFacingError(folder / RECORD, what, _REMEDY) from error


def network_digest(folder: Path) -> str:
    """64 hex digits over the network's file, and the file of its weights where there is one.

    Raises: FileNotFoundError: there is no network.
    """
    digest = hashlib.sha256()
    for path in (folder / NETWORK, folder / f"{NETWORK}.data"):
        if path.name == NETWORK or path.exists():
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
