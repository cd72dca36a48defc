"""Images for training: decoded images on disk, random resized crops, normalised pixels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

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

# Of RandomResizedCrop: the smallest area of a crop for contrastive training, and aspect ratios.
MIN_CROP_AREA = 0.5
ASPECT_RATIOS = (3 / 4, 4 / 3)
_BLOCK = 256


@dataclass(frozen=True)
class Crop:
    """A random resized crop: a box in shares of width and height, and whether it is flipped."""

    left: float
    upper: float
    right: float
    lower: float
    flipped: bool

    def apply(self, image: Image.Image, preprocessing: ImageTransform) -> Image.Image:
        """The box resized to the preprocessing's size."""
        width, height = image.size
        box = (self.left * width, self.upper * height, self.right * width, self.lower * height)
        side, resample = preprocessing.size, RESAMPLING[preprocessing.interpolation]
        resized = image.convert("RGB").resize((side, side), resample, box)
        return resized.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if self.flipped else resized


def draw_crops(count: int, rng: np.random.Generator, min_area: float = MIN_CROP_AREA) -> list[Crop]:
    """Boxes of RandomResizedCrop with a random horizontal flip.

    Area uniform in [min_area, 1], aspect ratio log-uniform in [3/4, 4/3] relative to the image's
    own, and cut where the image ends.

    Source: Szegedy et al. 2015 (Inception), section 6.
    """
    area = rng.uniform(min_area, 1.0, count)
    aspect = _aspect_ratios(count, rng)
    width = np.minimum(np.sqrt(area * aspect), 1.0)
    height = np.minimum(area / width, 1.0)
    left, upper = rng.random(count) * (1.0 - width), rng.random(count) * (1.0 - height)
    flipped = rng.random(count) < 0.5
    return [
        Crop(left[i], upper[i], left[i] + width[i], upper[i] + height[i], bool(flipped[i]))
        for i in range(count)
    ]


def _aspect_ratios(count: int, rng: np.random.Generator) -> np.ndarray:
    low, high = np.log(ASPECT_RATIOS)
    return np.exp(rng.uniform(low, high, count))


def random_resized_crops(
    pixels: torch.Tensor, size: int, min_area: float, rng: np.random.Generator
) -> torch.Tensor:
    """RandomResizedCrop with a random horizontal flip, in one bilinear call for the batch.

    Args:
        pixels: (B, 3, S, S) float32.
        min_area: areas are uniform in [min_area, 1], aspect ratios log-uniform in [3/4, 4/3], and
            sides are cut where the image ends.
    Returns: (B, 3, size, size) float32, channels last.
    Source: Szegedy et al. 2015 (Inception), section 6.
    """
    count = len(pixels)
    area = rng.uniform(min_area, 1.0, count)
    aspect = _aspect_ratios(count, rng)
    width = np.minimum(np.sqrt(area * aspect), 1.0)
    height = np.minimum(np.sqrt(area / aspect), 1.0)
    centre_x = rng.uniform(-1.0, 1.0, count) * (1.0 - width)
    centre_y = rng.uniform(-1.0, 1.0, count) * (1.0 - height)
    flip = np.where(rng.random(count) < 0.5, -1.0, 1.0)
    theta = np.zeros((count, 2, 3), dtype=np.float32)
    theta[:, 0, 0], theta[:, 0, 2] = width * flip, centre_x
    theta[:, 1, 1], theta[:, 1, 2] = height, centre_y
    grid = functional.affine_grid(torch.from_numpy(theta), [count, 3, size, size], False)
    crops = functional.grid_sample(pixels, grid, padding_mode="border", align_corners=False)
    return crops.contiguous(memory_format=torch.channels_last)


def read_images(
    store: ImageStore,
    batches: Iterable[tuple[np.ndarray, Sequence[Crop] | None]],
    preprocessing: ImageTransform,
) -> Iterator[np.ndarray]:
    """Each batch as (B, S, S, 3) uint8, decoded in threads one batch ahead of the model.

    All random numbers are drawn before, so pixels do not depend on how threads are scheduled.

    Args:
        batches: rows (B,) of the store, and a crop for each; None for the preprocessing's view.
    """

    def read(row: int, crop: Crop | None) -> np.ndarray:
        image = store.get(row)
        return np.asarray(
            preprocessing.crop(image) if crop is None else crop.apply(image, preprocessing)
        )

    def stacked(futures: list[Future[np.ndarray]]) -> np.ndarray:
        return np.stack([future.result() for future in futures])

    with ThreadPoolExecutor(cores()) as pool:
        waiting: list[Future[np.ndarray]] | None = None
        for rows, crops in batches:
            drawn: Sequence[Crop | None] = [None] * len(rows) if crops is None else crops
            coming = [
                pool.submit(read, int(row), crop) for row, crop in zip(rows, drawn, strict=True)
            ]
            if waiting is not None:
                yield stacked(waiting)
            waiting = coming
        if waiting is not None:
            yield stacked(waiting)


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
    """Images of some rows of a store as an encoder sees them whole, decoded when first opened.

    Attributes:
        store: of the corpus. rows: (N,) int64 rows of the store.
        addresses: (N,) the stored images' sha256, which identify a decoded copy.
        preprocessing: the input of evaluation. journal: whose workspace keeps the decoded copy.
        name: of that workspace.
    """

    store: ImageStore
    rows: np.ndarray
    addresses: Sequence[str]
    preprocessing: ImageTransform
    journal: RunState
    name: str

    def open(self) -> np.ndarray:
        """(N, S, S, 3) uint8, memory-mapped; decoded unless an earlier run did."""
        content = fingerprint(list(self.addresses), self.preprocessing)
        path = self.journal.workspace(f"decoded/{self.name}", content) / "images.npy"
        if not path.exists():
            partial = path.with_name("partial.npy")
            side = self.preprocessing.size
            shape = (len(self.rows), side, side, 3)
            decoded = np.lib.format.open_memmap(partial, "w+", np.uint8, shape)
            self._decode(decoded)
            decoded.flush()
            partial.replace(path)
        images: np.ndarray = np.load(path, mmap_mode="r")
        return images

    def _decode(self, decoded: np.ndarray) -> None:
        def decode(row: int) -> np.ndarray:
            return np.asarray(self.preprocessing.crop(self.store.get(row)))

        description = f"decode {self.name}"
        with (
            ThreadPoolExecutor(cores()) as pool,
            self.journal.progress_bar(description, len(self.rows), "image") as bar,
        ):
            for start in range(0, len(self.rows), _BLOCK):
                block = [int(row) for row in self.rows[start : start + _BLOCK]]
                decoded[start : start + len(block)] = np.stack(list(pool.map(decode, block)))
                bar.update(len(block))


def images_of_split(
    split: str,
    splits: pd.DataFrame,
    store: ImageStore,
    manifest: pd.DataFrame,
    preprocessing: ImageTransform,
    journal: RunState,
) -> DecodedImages:
    """A split's images as an encoder sees them whole; decoded when first opened.

    Args:
        split: `development`, `evaluation` or `unlabelled`.
        splits, store, manifest: of one corpus, row by row of the same images.
    """
    rows = np.flatnonzero((splits["split"] == split).to_numpy())
    addresses = manifest["stored_sha256"].to_numpy()[rows].tolist()
    return DecodedImages(store, rows, addresses, preprocessing, journal, split)
