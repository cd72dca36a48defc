"""Training images: decoded images on disk, RandomResizedCrop, normalised pixels."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch.nn import functional

from sports_clip_pipeline.data.image_store import ImageStore
from sports_clip_pipeline.data.transforms import RESAMPLING, ImageTransform
from sports_clip_pipeline.io.fingerprint import fingerprint
from sports_clip_pipeline.io.state import RunState
from sports_clip_pipeline.machine import cores

# Of RandomResizedCrop: the smallest area of a crop in contrastive training, and aspect ratios.
MIN_CROP_AREA = 0.5
ASPECT_RATIOS = (3 / 4, 4 / 3)
_BLOCK = 256


class Crop(NamedTuple):
    """A random resized crop: a box in shares of width and height, and a horizontal flip."""

    left: float
    upper: float
    right: float
    lower: float
    flipped: bool

    def apply(self, image: Image.Image, preprocessing: ImageTransform) -> Image.Image:
        """The box of the image, resized to the preprocessing's size."""
        width, height = image.size
        box = (self.left * width, self.upper * height, self.right * width, self.lower * height)
        side, resample = preprocessing.size, RESAMPLING[preprocessing.interpolation]
        resized = image.convert("RGB").resize((side, side), resample, box)
        return resized.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if self.flipped else resized


def draw_crops(count: int, rng: np.random.Generator) -> list[Crop]:
    """Boxes of RandomResizedCrop with RandomHorizontalFlip.

    Area uniform in [MIN_CROP_AREA, 1], aspect ratio log-uniform in [3/4, 4/3] relative to the
    image's own, sides cut at the image's. Szegedy et al. 2015 (Inception), section 6.
    """
    area, aspect = _areas_and_aspect_ratios(count, MIN_CROP_AREA, rng)
    width = np.minimum(np.sqrt(area * aspect), 1.0)
    height = np.minimum(area / width, 1.0)
    left, upper = rng.random(count) * (1.0 - width), rng.random(count) * (1.0 - height)
    flipped = rng.random(count) < 0.5
    return list(map(Crop, left, upper, left + width, upper + height, flipped))


def random_resized_crops(
    pixels: torch.Tensor, size: int, min_area: float, rng: np.random.Generator
) -> torch.Tensor:
    """RandomResizedCrop and RandomHorizontalFlip of a batch, bilinear, as in `draw_crops`.

    (B, 3, S, S) to (B, 3, size, size) float32, channels last.
    """
    count = len(pixels)
    area, aspect = _areas_and_aspect_ratios(count, min_area, rng)
    width = np.minimum(np.sqrt(area * aspect), 1.0)
    height = np.minimum(np.sqrt(area / aspect), 1.0)
    theta = np.zeros((count, 2, 3), dtype=np.float32)
    theta[:, 0, 2] = rng.uniform(-1.0, 1.0, count) * (1.0 - width)
    theta[:, 1, 2] = rng.uniform(-1.0, 1.0, count) * (1.0 - height)
    theta[:, 0, 0] = width * np.where(rng.random(count) < 0.5, -1.0, 1.0)
    theta[:, 1, 1] = height
    grid = functional.affine_grid(torch.from_numpy(theta), [count, 3, size, size], False)
    crops = functional.grid_sample(pixels, grid, padding_mode="border", align_corners=False)
    return crops.contiguous(memory_format=torch.channels_last)


def _areas_and_aspect_ratios(
    count: int, min_area: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    area = rng.uniform(min_area, 1.0, count)
    low, high = np.log(ASPECT_RATIOS)
    return area, np.exp(rng.uniform(low, high, count))


def read_images(
    store: ImageStore,
    batches: Iterable[tuple[np.ndarray, Sequence[Crop] | None]],
    preprocessing: ImageTransform,
) -> Iterator[np.ndarray]:
    """Each batch as (B, S, S, 3) uint8, decoded in threads one batch ahead.

    Args:
        batches: rows (B,) of the store, with a crop for each; None for the preprocessing's view.
    """

    def read(row: int, crop: Crop | None) -> np.ndarray:
        image = store.get(int(row))
        view = preprocessing.crop(image) if crop is None else crop.apply(image, preprocessing)
        return np.asarray(view)

    with ThreadPoolExecutor(cores()) as pool:
        submitted = (pool.map(read, rows, crops or [None] * len(rows)) for rows, crops in batches)
        # Each batch is awaited when the one after it has been submitted.
        for batch, _ in pairwise(chain(submitted, [iter(())])):
            yield np.stack(list(batch))


def to_pixels(
    images: np.ndarray, preprocessing: ImageTransform, device: str = "cpu"
) -> torch.Tensor:
    """(B, S, S, 3) uint8 to (B, 3, S, S) float32 on the device, normalised, channels last."""
    mean = torch.tensor(preprocessing.mean, device=device).view(1, 3, 1, 1)
    std = torch.tensor(preprocessing.std, device=device).view(1, 3, 1, 1)
    raw = torch.from_numpy(images.copy()).to(device, non_blocking=True)
    pixels = raw.permute(0, 3, 1, 2).float()
    return (pixels.div_(255.0) - mean) / std


@dataclass(frozen=True)
class DecodedImages:
    """Preprocessed images of some rows (N,) of a store, decoded when first opened.

    The decoded copy lies in a workspace of the run state, identified by `name` and by the stored
    images' sha256 (`addresses`).
    """

    store: ImageStore
    rows: np.ndarray
    addresses: Sequence[str]
    preprocessing: ImageTransform
    run_state: RunState
    name: str

    def open(self) -> np.ndarray:
        """(N, S, S, 3) uint8, memory-mapped; decoded unless an earlier run has done so."""
        content = fingerprint(list(self.addresses), self.preprocessing)
        path = self.run_state.workspace(f"decoded/{self.name}", content) / "images.npy"
        if not path.exists():
            partial, count = path.with_name("partial.npy"), len(self.rows)
            shape = (count, self.preprocessing.size, self.preprocessing.size, 3)
            decoded = np.lib.format.open_memmap(partial, "w+", np.uint8, shape)
            starts = range(0, count, _BLOCK)
            batches = ((self.rows[start : start + _BLOCK], None) for start in starts)
            blocks = read_images(self.store, batches, self.preprocessing)
            with self.run_state.progress_bar(f"decode {self.name}", count, "image") as bar:
                for start, block in zip(starts, blocks, strict=True):
                    decoded[start : start + len(block)] = block
                    bar.update(len(block))
            decoded.flush()
            partial.replace(path)
        return np.load(path, mmap_mode="r")


def images_of_split(
    split: str,
    splits: pd.DataFrame,
    store: ImageStore,
    manifest: pd.DataFrame,
    preprocessing: ImageTransform,
    run_state: RunState,
) -> DecodedImages:
    """Preprocessed images of a split; `splits`, `store` and `manifest` are row by row."""
    rows = np.flatnonzero((splits["split"] == split).to_numpy())
    addresses = manifest["stored_sha256"].to_numpy()[rows].tolist()
    return DecodedImages(store, rows, addresses, preprocessing, run_state, split)
