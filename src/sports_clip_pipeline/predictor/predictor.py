"""A classifier as a folder: the one thing that prediction, explanation and the report know.

`predictor.json` says what it is, `weights.safetensors` holds the head and, for an encoder that was
trained, the encoder.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from safetensors import SafetensorError
from safetensors.numpy import load, save

from sports_clip_pipeline.data.transforms import ImageTransform
from sports_clip_pipeline.encoders.feature_store import concat_features
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.io.fingerprint import fingerprint
from sports_clip_pipeline.io.state import replacing_folder
from sports_clip_pipeline.predictor.batch_prediction import predict_rows
from sports_clip_pipeline.predictor.head import Head, softmax

if TYPE_CHECKING:
    from sports_clip_pipeline.predictor.encoder_classifier import EncoderClassifier


FORMAT = 3


@dataclass(frozen=True)
class EncoderInput:
    """One image encoder of a predictor, and what it sees.

    Attributes:
        name: of an image encoder.
        preprocessing: what the encoder sees of an image.
        views: its features are means over these views; empty for the preprocessing's own.
        width: columns of its pooled features.
    """

    name: str
    preprocessing: ImageTransform
    views: tuple[str, ...]
    width: int

    def each_view(self) -> list[ImageTransform]:
        """The preprocessing of every view."""
        names = self.views or (self.preprocessing.view,)
        return [replace(self.preprocessing, view=name) for name in names]

    def to_dict(self) -> dict[str, Any]:
        """JSON-like form; `from_dict` reads it."""
        return {
            "name": self.name,
            "preprocessing": self.preprocessing.to_dict(),
            "views": list(self.views),
            "width": self.width,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> EncoderInput:
        """From `to_dict`'s form, or from a row of `towers` in `embed_audit`."""
        seen = ImageTransform.from_dict(values["preprocessing"])
        return cls(values["name"], seen, tuple(values["views"]), values["width"])


@dataclass(frozen=True)
class Predictor:
    """A head on the features of one image encoder or several, or on an encoder of its own.

    Attributes:
        classes: labels in the order of the logits.
        tower: name of the first image encoder, whose architecture (and weights) it uses.
        preprocessing: what the first encoder sees of an image.
        head: pooled features (N, ΣD), those of all encoders side by side, to logits (N, C).
        temperature: logits are divided by it before the softmax; > 0.
        views: the head's features are means over these views of an image; empty for the
            preprocessing's own. `module()` sees the preprocessing's alone.
        tower_weights: state dict of the first encoder where it was trained or is not packaged; else
            empty.
        origin: JSON-like record of how it was made (method, fraction, hyper-parameters …).
        additional_encoders: further encoders, in the order of their columns.
        threshold: the least probability of a class that is answered; None refuses nothing.
    """

    classes: tuple[str, ...]
    tower: str
    preprocessing: ImageTransform
    head: Head
    temperature: float = 1.0
    views: tuple[str, ...] = ()
    tower_weights: dict[str, np.ndarray] = field(default_factory=dict)
    origin: dict[str, Any] = field(default_factory=dict)
    additional_encoders: tuple[EncoderInput, ...] = ()
    threshold: float | None = None

    @property
    def towers(self) -> tuple[EncoderInput, ...]:
        """All encoders in the order of their columns, the first one first."""
        from sports_clip_pipeline.encoders.image_encoders import image_encoder

        width = image_encoder(self.tower).width
        return (
            EncoderInput(self.tower, self.preprocessing, self.views, width),
            *self.additional_encoders,
        )

    @property
    def trained_apart(self) -> bool:
        """Whether the first encoder is a trained copy of one of its additional_encoders.

        A corpus's features then lack what it sees: they come from the frozen encoders alone.
        """
        return self.tower in {companion.name for companion in self.additional_encoders}

    def predict_proba(self, features: np.ndarray) -> np.ndarray:
        """Probabilities (N, C) from pooled encoder features (N, ΣD).

        Raises: ValueError: several encoders, and not as many columns as they have together.
        """
        if self.additional_encoders:
            self._check_columns(features.shape[1])
        return softmax(self.head(features) / self.temperature)

    def predict_images(self, images: Sequence[Image.Image], batch: int = 32) -> np.ndarray:
        """Probabilities (N, C) from images, through eager torch."""
        return self.predict_proba(self.features(images, batch))

    def answers(self, probabilities: np.ndarray) -> list[str]:
        """The most probable class of each row (N, C), `none of these` below the threshold."""
        return predict_rows(probabilities, self.classes, self.threshold)

    def features(
        self,
        images: Sequence[Image.Image],
        batch: int = 32,
        module: EncoderClassifier | None = None,
    ) -> np.ndarray:
        """Pooled features (N, ΣD) float32 of images, through eager torch.

        Each encoder's are means over its views; the encoders stand side by side.

        Args:
            module: what `module()` gave, for whoever asks again and again; else built anew.
        """
        module = module or self.module()
        trunks = [module.tower, *(companion.tower for companion in module.additional_encoders)]
        pairs = list(zip(self.towers, trunks, strict=True))
        blocks = [images[start : start + batch] for start in range(0, len(images), batch)]
        empty = np.zeros((0, sum(tower.width for tower in self.towers)), dtype=np.float32)
        rows = [np.hstack([_view_mean(*pair, block) for pair in pairs]) for block in blocks]
        return np.concatenate([empty, *rows])

    def stack(self, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
        """The columns (N, ΣD) that the head wants, from the arrays of a corpus.

        Args:
            arrays: `features` (N, D), and `companion.<tower>` (N, Dₖ) of each additional encoder.
        Raises: UserFacingError: the features of an additional encoder are not there.
        """
        return concat_features(arrays, [tower.name for tower in self.additional_encoders])[0]

    def module(self) -> EncoderClassifier:
        """Pixels (B, 3, H, W), normalised as the first encoder wants them, to logits (B, C).

        Has `.tower` (the first; gradients and maps are taken there) and `.head`; eval mode.
        Companions see the same pixels, resized bilinearly and normalised anew where they want
        that; so one view is seen by all, while `features` takes the mean over views.
        """
        from sports_clip_pipeline.predictor.encoder_classifier import (
            AdditionalEncoder,
            EncoderClassifier,
        )

        additional_encoders = [
            AdditionalEncoder(tower.name, tower.preprocessing, self.preprocessing)
            for tower in self.additional_encoders
        ]
        return EncoderClassifier(
            self.tower, self.tower_weights, self.head, additional_encoders
        ).eval()

    def save(self, folder: str | Path) -> None:
        """Write the folder, whole or not at all."""
        arrays = {f"head.{name}": value for name, value in self.head.to_arrays().items()}
        arrays |= {f"tower.{name}": value for name, value in self.tower_weights.items()}
        weights = save({name: np.asarray(value, order="C") for name, value in arrays.items()})
        record = {
            "format": FORMAT,
            "classes": list(self.classes),
            "towers": [tower.to_dict() for tower in self.towers],
            "tower_weights": "own" if self.tower_weights else "packaged",
            "head": self.head.describe(),
            "temperature": self.temperature,
            "threshold": self.threshold,
            "weights_sha256": hashlib.sha256(weights).hexdigest(),
            "origin": self.origin,
        }
        with replacing_folder(Path(folder)) as partial:
            (partial / "weights.safetensors").write_bytes(weights)
            (partial / "predictor.json").write_text(json.dumps(record, indent=2) + "\n")

    def _check_columns(self, columns: int) -> None:
        if columns != sum(tower.width for tower in self.towers):
            wanted = " + ".join(f"{tower.width} of {tower.name}" for tower in self.towers)
            raise ValueError(f"features have {columns} columns, wanted {wanted}")


def load_predictor(path: str | Path) -> Predictor:
    """Read a predictor's folder.

    Raises: UserFacingError: a file is missing or damaged, or is of another format.
    """
    folder = Path(path)
    remedy = "run `kedro run --pipelines=finetune` to make it again"
    try:
        record = json.loads((folder / "predictor.json").read_text())
        weights = (folder / "weights.safetensors").read_bytes()
        file_format, checksum = record["format"], record["weights_sha256"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise UserFacingError(folder, f"is no whole predictor ({error!r})", remedy) from error
    if file_format != FORMAT:
        raise UserFacingError(folder, f"has format {file_format!r}, wanted {FORMAT}", remedy)
    if hashlib.sha256(weights).hexdigest() != checksum:
        raise UserFacingError(folder / "weights.safetensors", "its checksum differs", remedy)
    try:
        return _from_record(record, load(weights))
    except (SafetensorError, LookupError, TypeError, ValueError) as error:
        what = f"does not say what it should ({error!r})"
        raise UserFacingError(folder / "predictor.json", what, remedy) from error


def predictor_fingerprint(predictor: Predictor) -> str:
    """A fingerprint of everything that a predictor's answers depend on."""
    from sports_clip_pipeline.encoders.image_encoders import image_encoder

    named = [item for pair in sorted(predictor.tower_weights.items()) for item in pair]
    arrays = [item for pair in sorted(predictor.head.to_arrays().items()) for item in pair]
    towers = [
        {**tower.to_dict(), "digest": image_encoder(tower.name).digest}
        for tower in predictor.towers
    ]
    described = [list(predictor.classes), predictor.temperature, predictor.threshold]
    return fingerprint(described, towers, predictor.head.describe(), *arrays, *named)


def _from_record(record: dict[str, Any], arrays: dict[str, np.ndarray]) -> Predictor:
    first, *further = record["towers"]
    return Predictor(
        classes=tuple(record["classes"]),
        tower=first["name"],
        preprocessing=ImageTransform.from_dict(first["preprocessing"]),
        head=Head.from_arrays(record["head"], _under("head.", arrays)),
        temperature=record["temperature"],
        views=tuple(first["views"]),
        tower_weights=_under("tower.", arrays),
        origin=record["origin"],
        additional_encoders=tuple(EncoderInput.from_dict(row) for row in further),
        threshold=_threshold(record["threshold"]),
    )


def _threshold(value: Any) -> float | None:
    """Raises: ValueError: no probability."""
    if value is None:
        return None
    threshold = float(value)
    if not 0.0 <= threshold <= 1.0:
        raise ValueError(f"threshold is a probability, got {value!r}")
    return threshold


def _view_mean(tower: EncoderInput, trunk: Any, images: Sequence[Image.Image]) -> np.ndarray:
    """(B, D): the mean over the encoder's views of what it makes of a block of images."""
    from sports_clip_pipeline.encoders.image_encoders import pooled_features

    pixels = (view.normalise([view.crop(image) for image in images]) for view in tower.each_view())
    features: np.ndarray = np.mean([pooled_features(trunk, block) for block in pixels], axis=0)
    return features


def _under(prefix: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {
        key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)
    }
