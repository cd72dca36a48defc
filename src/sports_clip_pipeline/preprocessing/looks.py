"""A photograph as a square of bytes: what towers with different norms may share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from PIL import Image

from sports_clip_pipeline.preprocessing.images import ImagePreprocessing


@dataclass(frozen=True)
class Look:
    """One way of looking at a photograph; `ImagePreprocessing` without mean and spread.

    Attributes:
        size: side of the square, pixels.
        interpolation, view: see `ImagePreprocessing`.
    """

    size: int
    interpolation: str
    view: str

    @classmethod
    def of(cls, seen: ImagePreprocessing) -> Look:
        """What a tower's preprocessing looks at."""
        return cls(seen.size, seen.interpolation, seen.view)

    @property
    def name(self) -> str:
        """Such as `full_224_bicubic`."""
        return f"{self.view}_{self.size}_{self.interpolation}"

    def square(self, image: Image.Image) -> np.ndarray:
        """(size, size, 3) uint8 of an upright photograph."""
        nothing = (0.0, 0.0, 0.0)
        seen = ImagePreprocessing(self.size, nothing, nothing, self.interpolation, self.view)
        return np.asarray(seen.crop(image))

    def to_dict(self) -> dict[str, Any]:
        """JSON-like form; `from_dict` reads it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Look:
        """The inverse of `to_dict`. Raises: ValueError: a view or interpolation is unknown."""
        look = cls(values["size"], values["interpolation"], values["view"])
        nothing = (0.0, 0.0, 0.0)
        ImagePreprocessing(look.size, nothing, nothing, look.interpolation, look.view)
        return look
