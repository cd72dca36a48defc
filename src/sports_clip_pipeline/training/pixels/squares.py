"""Photographs decoded once to squares of bytes, and random crops of them by the batch."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from sports_clip_pipeline.data.image_store import ImageStore
from sports_clip_pipeline.data.transforms import ImagePreprocessing
from sports_clip_pipeline.journal import Journal, fingerprint
from sports_clip_pipeline.machine import cores

_BLOCK = 256
_ASPECT = (3 / 4, 4 / 3)


@dataclass(frozen=True)
class Squares:
    """The photographs of some rows of a store, decoded when first opened.

    Attributes:
        store: of the corpus.
        rows: (N,) int64 rows of the store.
        addresses: (N,) the stored images' sha256; what a decoded copy is known by.
        preprocessing: what a judged photograph looks like to the tower.
        journal: whose workspace keeps the decoded copy.
        name: of that workspace.
    """

    store: ImageStore
    rows: np.ndarray
    addresses: Sequence[str]
    preprocessing: ImagePreprocessing
    journal: Journal
    name: str

    def open(self) -> np.ndarray:
        """(N, S, S, 3) uint8, memory-mapped; decoded unless an earlier run did."""
        mark = fingerprint(list(self.addresses), self.preprocessing)
        path = self.journal.workspace(f"squares/{self.name}", mark) / "squares.npy"
        if not path.exists():
            partial = path.with_name("partial.npy")
            side = self.preprocessing.size
            shape = (len(self.rows), side, side, 3)
            squares = np.lib.format.open_memmap(partial, "w+", np.uint8, shape)
            self._decode(squares)
            squares.flush()
            partial.replace(path)
        kept: np.ndarray = np.load(path, mmap_mode="r")
        return kept

    def _decode(self, squares: np.ndarray) -> None:
        def decode(row: int) -> np.ndarray:
            return np.asarray(self.preprocessing.crop(self.store.get(row)))

        description = f"decode {self.name}"
        with (
            ThreadPoolExecutor(cores()) as pool,
            self.journal.counting(description, len(self.rows), "image") as bar,
        ):
            for start in range(0, len(self.rows), _BLOCK):
                block = [int(row) for row in self.rows[start : start + _BLOCK]]
                squares[start : start + len(block)] = np.stack(list(pool.map(decode, block)))
                bar.update(len(block))


def normalised(squares: np.ndarray, preprocessing: ImagePreprocessing) -> torch.Tensor:
    """(B, S, S, 3) uint8 to (B, 3, S, S) float32, channels last, as the tower wants them."""
    mean = torch.tensor(preprocessing.mean).view(1, 3, 1, 1)
    std = torch.tensor(preprocessing.std).view(1, 3, 1, 1)
    pixels = torch.from_numpy(squares.copy()).permute(0, 3, 1, 2).float()  # channels last
    return (pixels.div_(255.0) - mean) / std


def random_crops(
    pixels: torch.Tensor, size: int, least_area: float, rng: np.random.Generator
) -> torch.Tensor:
    """A random part of each photograph, mirrored half of the time, as a square of `size`.

    Args:
        pixels: (B, 3, S, S) float32.
        least_area: share of the area; the shares are even in [least_area, 1], the aspect ratios
            log-even in [3/4, 4/3], cut where the photograph ends.
    Returns: (B, 3, size, size) float32, channels last; bilinear, one call for the batch.
    Source: Szegedy et al. 2015 (Inception), section 6.
    """
    count = len(pixels)
    area = rng.uniform(least_area, 1.0, count)
    aspect = np.exp(rng.uniform(np.log(_ASPECT[0]), np.log(_ASPECT[1]), count))
    width = np.minimum(np.sqrt(area * aspect), 1.0)
    height = np.minimum(np.sqrt(area / aspect), 1.0)
    centre_x = rng.uniform(-1.0, 1.0, count) * (1.0 - width)
    centre_y = rng.uniform(-1.0, 1.0, count) * (1.0 - height)
    mirror = np.where(rng.random(count) < 0.5, -1.0, 1.0)
    theta = np.zeros((count, 2, 3), dtype=np.float32)
    theta[:, 0, 0], theta[:, 0, 2] = width * mirror, centre_x
    theta[:, 1, 1], theta[:, 1, 2] = height, centre_y
    grid = functional.affine_grid(torch.from_numpy(theta), [count, 3, size, size], False)
    crops = functional.grid_sample(pixels, grid, padding_mode="border", align_corners=False)
    return crops.contiguous(memory_format=torch.channels_last)
