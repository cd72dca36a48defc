"""Photographs as training sees them: a random part, mirrored half of the time.

A batch is decoded in threads while the model works on the one before it. Every random number is
drawn before a thread starts, so the pixels do not depend on how the threads are scheduled.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from sports_clip_pipeline.data.image_store import ImageStore
from sports_clip_pipeline.data.transforms import RESAMPLING, ImagePreprocessing
from sports_clip_pipeline.machine import cores

LEAST_AREA = 0.5
ASPECT = (3 / 4, 4 / 3)


@dataclass(frozen=True)
class Crop:
    """A part of a photograph: a box in shares of its width and height, and whether to mirror it."""

    left: float
    upper: float
    right: float
    lower: float
    mirrored: bool

    def square(self, image: Image.Image, preprocessing: ImagePreprocessing) -> Image.Image:
        """The part as a square of the preprocessing's size."""
        width, height = image.size
        box = (self.left * width, self.upper * height, self.right * width, self.lower * height)
        side, resample = preprocessing.size, RESAMPLING[preprocessing.interpolation]
        square = image.convert("RGB").resize((side, side), resample, box)
        return square.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if self.mirrored else square


def draw_crops(count: int, rng: np.random.Generator, least_area: float = LEAST_AREA) -> list[Crop]:
    """Random parts: area even in [least_area, 1], aspect ratio log-even in [3/4, 4/3].

    The aspect ratio is relative to the photograph's own, and is cut where the photograph ends.

    Source: Szegedy et al. 2015 (Inception), section 6.
    """
    area = rng.uniform(least_area, 1.0, count)
    narrow, wide = np.log(ASPECT)
    aspect = np.exp(rng.uniform(narrow, wide, count))
    width = np.minimum(np.sqrt(area * aspect), 1.0)
    height = np.minimum(area / width, 1.0)
    left, upper = rng.random(count) * (1.0 - width), rng.random(count) * (1.0 - height)
    mirrored = rng.random(count) < 0.5
    return [
        Crop(left[i], upper[i], left[i] + width[i], upper[i] + height[i], bool(mirrored[i]))
        for i in range(count)
    ]


def read_squares(
    store: ImageStore,
    batches: Iterable[tuple[np.ndarray, Sequence[Crop] | None]],
    preprocessing: ImagePreprocessing,
) -> Iterator[torch.Tensor]:
    """Each batch as (B, S, S, 3) uint8, read one batch ahead.

    Args:
        batches: rows (B,) of the store, and a crop for each; None for the preprocessing's view.
    """

    def read(row: int, crop: Crop | None) -> np.ndarray:
        image = store.get(row)
        return np.asarray(
            preprocessing.crop(image) if crop is None else crop.square(image, preprocessing)
        )

    with ThreadPoolExecutor(cores()) as pool:
        waiting: list[Future[np.ndarray]] | None = None
        for rows, crops in batches:
            drawn: Sequence[Crop | None] = [None] * len(rows) if crops is None else crops
            coming = [
                pool.submit(read, int(row), crop) for row, crop in zip(rows, drawn, strict=True)
            ]
            if waiting is not None:
                yield _stacked(waiting)
            waiting = coming
        if waiting is not None:
            yield _stacked(waiting)


def to_pixels(
    squares: torch.Tensor, preprocessing: ImagePreprocessing, device: str
) -> torch.Tensor:
    """(B, S, S, 3) uint8 to (B, 3, S, S) float32 on the device, normalised, channels last."""
    mean = torch.tensor(preprocessing.mean, device=device).view(1, 3, 1, 1)
    std = torch.tensor(preprocessing.std, device=device).view(1, 3, 1, 1)
    pixels = squares.to(device, non_blocking=True).permute(0, 3, 1, 2).float()
    return (pixels / 255.0 - mean) / std


def _stacked(futures: Sequence[Future[np.ndarray]]) -> torch.Tensor:
    return torch.from_numpy(np.stack([future.result() for future in futures]))
