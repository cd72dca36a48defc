"""A classifier stored as a folder: image encoders, head, temperature and abstention threshold.

`predictor.json` describes it; `weights.safetensors` holds the head and, for an encoder that was
trained, its state dict.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from PIL import Image
from safetensors import SafetensorError
from safetensors.numpy import load, save

from sports_clip_pipeline.data.transforms import ImageTransform
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.io.fingerprint import fingerprint
from sports_clip_pipeline.io.state import replacing_folder
from sports_clip_pipeline.predictor.batch_prediction import predict_rows
from sports_clip_pipeline.predictor.head import Head, softmax

if TYPE_CHECKING:
    from sports_clip_pipeline.predictor.encoder_classifier import EncoderClassifier

FORMAT = 3
_BATCH = 32


@dataclass(frozen=True)
class EncoderInput:
    """An image encoder of a predictor, preprocessing of its first view, columns of its features.

    Its features are means over the `views`; empty for the preprocessing's own.
    """

    name: str
    preprocessing: ImageTransform
    views: tuple[str, ...]
    width: int

    def each_view(self) -> list[ImageTransform]:
        """The preprocessing of every view."""
        names = self.views or (self.preprocessing.view,)
        return [replace(self.preprocessing, view=name) for name in names]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """From `asdict`'s form, or from a row of `encoders` in `embed_audit`."""
        preprocessing = ImageTransform(**values["preprocessing"])
        return cls(values["name"], preprocessing, tuple(values["views"]), values["width"])


@dataclass(frozen=True)
class Predictor:
    """A head on the pooled features of one or several image encoders.

    Attributes:
        classes: labels in the order of the logits.
        encoders: in the order of their columns; the first one may be trained.
        head: pooled features (N, ΣD), concatenated over encoders, to logits (N, C).
        temperature: logits are divided by it before the softmax; > 0.
        encoder_weights: state dict of the first encoder where it was trained or is not packaged;
            else empty.
        origin: JSON-like record of how it was made (method, fraction, hyper-parameters …).
        threshold: least top-1 probability that gives a class; None never abstains.
    """

    classes: tuple[str, ...]
    encoders: tuple[EncoderInput, ...]
    head: Head
    temperature: float = 1.0
    encoder_weights: dict[str, np.ndarray] = field(default_factory=dict)
    origin: dict[str, Any] = field(default_factory=dict)
    threshold: float | None = None

    @property
    def preprocessing(self) -> ImageTransform:
        """That of the first encoder."""
        return self.encoders[0].preprocessing

    def predict_proba(self, features: np.ndarray) -> np.ndarray:
        """Probabilities (N, C) from pooled encoder features (N, ΣD).

        Raises: ValueError: another number of columns than that of all encoders.
        """
        if features.shape[1] != sum(encoder.width for encoder in self.encoders):
            widths = " + ".join(f"{encoder.width} of {encoder.name}" for encoder in self.encoders)
            raise ValueError(f"features have {features.shape[1]} columns, wanted {widths}")
        return softmax(self.head(features) / self.temperature)

    def predict_images(self, images: Sequence[Image.Image]) -> np.ndarray:
        """Probabilities (N, C) from images, by eager torch."""
        return self.predict_proba(self.features(images))

    def answers(self, probabilities: np.ndarray) -> list[str]:
        """The most probable class of each row (N, C), `none of these` below the threshold."""
        return predict_rows(probabilities, self.classes, self.threshold)

    def features(
        self, images: Sequence[Image.Image], module: "EncoderClassifier | None" = None
    ) -> np.ndarray:
        """Pooled features (N, ΣD) float32 of images by eager torch, means over the views.

        Args:
            module: a result of `module()` to reuse; built anew otherwise.
        """
        pairs = list(zip(self.encoders, (module or self.module()).all_encoders(), strict=True))
        blocks = [images[start : start + _BATCH] for start in range(0, len(images), _BATCH)]
        empty = np.zeros((0, sum(encoder.width for encoder, _ in pairs)), dtype=np.float32)
        rows = [np.hstack([_view_mean(*pair, block) for pair in pairs]) for block in blocks]
        return np.concatenate([empty, *rows])

    def module(self) -> "EncoderClassifier":
        """Pixels (B, 3, H, W), normalised for the first encoder, to logits (B, C), in eval mode.

        All encoders get these pixels, in the view of the first one's preprocessing, while
        `features` averages over views.
        """
        from sports_clip_pipeline.predictor.encoder_classifier import EncoderClassifier

        return EncoderClassifier(self).eval()

    def save(self, folder: str | Path) -> None:
        """Write the folder atomically."""
        arrays = {f"head.{name}": value for name, value in self.head.to_arrays().items()}
        arrays |= {f"encoder.{name}": value for name, value in self.encoder_weights.items()}
        weights = save({name: np.asarray(value, order="C") for name, value in arrays.items()})
        record = {
            "format": FORMAT,
            "classes": list(self.classes),
            "encoders": [asdict(encoder) for encoder in self.encoders],
            "encoder_weights": "own" if self.encoder_weights else "packaged",
            "head": self.head.describe(),
            "temperature": self.temperature,
            "threshold": self.threshold,
            "weights_sha256": hashlib.sha256(weights).hexdigest(),
            "origin": self.origin,
        }
        with replacing_folder(Path(folder)) as partial:
            (partial / "weights.safetensors").write_bytes(weights)
            (partial / "predictor.json").write_text(json.dumps(record, indent=2) + "\n")


def load_predictor(path: str | Path) -> Predictor:
    """Read a predictor's folder.

    Raises: UserFacingError: a file is missing or damaged, or has another format.
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
        what = f"is not a valid description ({error!r})"
        raise UserFacingError(folder / "predictor.json", what, remedy) from error


def predictor_fingerprint(predictor: Predictor) -> str:
    """A fingerprint of everything that the predictions depend on."""
    from sports_clip_pipeline.encoders.image_encoders import image_encoder

    arrays = (predictor.head.to_arrays(), predictor.encoder_weights)
    flat = [item for named in arrays for pair in sorted(named.items()) for item in pair]
    encoders = [
        {**asdict(encoder), "digest": image_encoder(encoder.name).digest}
        for encoder in predictor.encoders
    ]
    settings = [list(predictor.classes), predictor.temperature, predictor.threshold]
    return fingerprint(settings, encoders, predictor.head.describe(), *flat)


def _from_record(record: dict[str, Any], arrays: dict[str, np.ndarray]) -> Predictor:
    def part(prefix: str) -> dict[str, np.ndarray]:
        names = [name for name in arrays if name.startswith(prefix)]
        return {name.removeprefix(prefix): arrays[name] for name in names}

    threshold = record["threshold"]
    if threshold is not None and not 0.0 <= float(threshold) <= 1.0:
        raise ValueError(f"threshold is a probability, got {threshold!r}")
    if not record["encoders"]:
        raise ValueError("no encoder")
    return Predictor(
        classes=tuple(record["classes"]),
        encoders=tuple(EncoderInput.from_dict(row) for row in record["encoders"]),
        head=Head.from_arrays(record["head"], part("head.")),
        temperature=record["temperature"],
        encoder_weights=part("encoder."),
        origin=record["origin"],
        threshold=None if threshold is None else float(threshold),
    )


def _view_mean(encoder: EncoderInput, trunk: Any, images: Sequence[Image.Image]) -> np.ndarray:
    """Pooled features (B, D) of a block of images, means over the encoder's views."""
    from sports_clip_pipeline.encoders.image_encoders import pooled_features

    pixels = (
        view.normalise([view.crop(image) for image in images]) for view in encoder.each_view()
    )
    features: np.ndarray = np.mean([pooled_features(trunk, block) for block in pixels], axis=0)
    return features
