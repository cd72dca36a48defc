"""From an upright RGB photograph to the pixels a tower was trained on."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from sports_clip_pipeline.pipelines.embed.config import VIEWS

RESAMPLING = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
}


@dataclass(frozen=True)
class ImagePreprocessing:
    """What one tower sees of a photograph.

    Attributes:
        size: side of the square the tower sees, pixels.
        mean, std: per channel, of pixel values in [0, 1]; from the tower's own record.
        interpolation: `bicubic` or `bilinear`.
        view: `full` squashes the whole photograph into the square, `centre` scales the short
            side to `size` and cuts the middle; `…_flip` mirrors it.
    """

    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: str = "bicubic"
    view: str = "full"

    def __post_init__(self) -> None:
        if self.view not in VIEWS or self.interpolation not in RESAMPLING:
            raise ValueError(
                f"view is one of {VIEWS} and interpolation one of {tuple(RESAMPLING)}, "
                f"got {self.view!r} and {self.interpolation!r}"
            )

    def crop(self, image: Image.Image) -> Image.Image:
        """The RGB square of `size` × `size` pixels that the tower sees."""
        resample = RESAMPLING[self.interpolation]
        image = image.convert("RGB")
        if self.view.startswith("centre"):
            scale = self.size / min(image.size)
            width, height = (max(self.size, round(side * scale)) for side in image.size)
            image = image.resize((width, height), resample)
            left, top = (width - self.size) // 2, (height - self.size) // 2
            image = image.crop((left, top, left + self.size, top + self.size))
        else:
            image = image.resize((self.size, self.size), resample)
        if self.view.endswith("_flip"):
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return image

    def normalise(self, squares: Sequence[Image.Image]) -> np.ndarray:
        """(B, 3, size, size) float32, normalised, from squares that `crop` made."""
        pixels = np.stack([np.asarray(square) for square in squares])  # (B, H, W, 3) uint8
        mean: np.ndarray = np.array(self.mean, dtype=np.float32)[:, None, None]
        std: np.ndarray = np.array(self.std, dtype=np.float32)[:, None, None]
        values = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)).astype(np.float32)
        values /= np.float32(255.0)  # in place: five times as fast as with copies
        values -= mean
        values /= std
        return values

    def to_array(self, image: Image.Image) -> np.ndarray:
        """(3, size, size) float32, normalised."""
        return self.normalise([self.crop(image)])[0]

    def to_dict(self) -> dict[str, Any]:
        """JSON-like form; `from_dict` reads it."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ImagePreprocessing:
        """The inverse of `to_dict`, from JSON."""
        return cls(**{**values, "mean": tuple(values["mean"]), "std": tuple(values["std"])})
