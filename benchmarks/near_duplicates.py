"""Precision and recall of near-duplicate detection on transformed copies of real images.

    python benchmarks/near_duplicates.py --raw-dir /path/to/the/zips [--images 300] [--whole]

Of a seeded draw from three classes of sports.zip every image is copied once per transformation. All
pairs of originals and copies are decided at once; a pair of one original is true, any other false
(a real duplicate among the originals counts against precision). `--whole` instead times both
corpora and prints the memory.
"""

import argparse
import io
import resource
import time
from collections.abc import Callable, Sequence
from multiprocessing import Pool
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from sports_clip_pipeline.data.archives import Archive
from sports_clip_pipeline.data.near_duplicates import appearance_of, near_duplicate_pairs
from sports_clip_pipeline.data.transforms import open_upright
from sports_clip_pipeline.pipelines.ingest.config import ImageRules, IngestConfig

CLASSES = ("badminton", "swimming", "hockey")
Rng = np.random.Generator
CONFIG = IngestConfig()
LIMITS = CONFIG.near_inliers, CONFIG.near_correlation, CONFIG.near_whole_correlation


def crop(image: Image.Image, rng: Rng, least: float = 0.7, most: float = 0.95) -> Image.Image:
    """A window anywhere with this share of the area; its aspect differs too."""
    area = rng.uniform(least, most)
    wide = min(1.0, area ** rng.uniform(0.1, 0.9))
    size = np.array([wide, area / wide]) * image.size
    left, top = rng.uniform(0, 1, 2) * (np.array(image.size) - size)
    return image.crop((int(left), int(top), int(left + size[0]), int(top + size[1])))


def heavy_crop(image: Image.Image, rng: Rng) -> Image.Image:
    return crop(image, rng, 0.4, 0.7)


def mirror(image: Image.Image, rng: Rng) -> Image.Image:
    return ImageOps.mirror(image)


def toning(image: Image.Image, rng: Rng) -> Image.Image:
    kind = rng.integers(4)
    if kind == 0:
        return ImageOps.colorize(image.convert("L"), "#1a0f00", "#fff0d0")
    if kind == 1:
        gamma = float(rng.choice([0.5, 0.6, 1.6, 2.0]))
        return image.point([round(255 * (value / 255) ** gamma) for value in range(256)] * 3)
    image = ImageEnhance.Contrast(image).enhance(float(rng.uniform(0.5, 1.6)))
    image = ImageEnhance.Color(image).enhance(float(rng.uniform(0, 2)))
    return ImageEnhance.Brightness(image).enhance(float(rng.uniform(0.6, 1.5)))


def overlay(image: Image.Image, rng: Rng) -> Image.Image:
    """A band or a disc with text, as of newspapers and television."""
    image = image.copy()
    draw, colour = ImageDraw.Draw(image), tuple(rng.integers(0, 256, 3).tolist())
    if rng.integers(2):
        height = image.height * rng.uniform(0.1, 0.2)
        top = rng.choice([0, image.height - height])
        draw.rectangle((0, top, image.width, top + height), fill=colour)
        draw.text((9, top), "THE SPORTS DAILY", "white", font_size=max(8.0, 0.7 * height))
    else:
        side = min(image.size) * rng.uniform(0.25, 0.4)
        left, top = rng.uniform(0, 1, 2) * (np.array(image.size) - side)
        draw.ellipse((left, top, left + side, top + side), fill=colour)
        draw.text((left + side / 5, top + side / 3), "TV 1", "white", font_size=max(8.0, side / 4))
    return image


def stretch(image: Image.Image, rng: Rng) -> Image.Image:
    return image.resize((round(image.width * rng.choice([0.7, 0.8, 1.25, 1.4])), image.height))


def jpeg(image: Image.Image, rng: Rng, quality: int | None = None) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality or int(rng.integers(10, 40)))
    return Image.open(buffer).convert("RGB")


def cropped_mirror(image: Image.Image, rng: Rng) -> Image.Image:
    return mirror(crop(image, rng), rng)


WANTED = (crop, mirror, toning, overlay, stretch, jpeg)
BEYOND = (heavy_crop, cropped_mirror)


def transformed(
    transformation: Callable[..., Image.Image], image: Image.Image, seed: int
) -> np.ndarray:
    rng = np.random.default_rng([seed, len(transformation.__name__)])
    return appearance_of(jpeg(transformation(image, rng), rng, 85))


def found_pairs(
    originals: Sequence[np.ndarray], copies: Sequence[np.ndarray]
) -> tuple[float, int, int]:
    """Recall, and how many pairs are found and false; copy i is of original i."""
    pairs = near_duplicate_pairs(np.array([*originals, *copies]), *LIMITS, CONFIG.processes)
    is_true = pairs[:, 1] - pairs[:, 0] == len(originals)
    return is_true.sum() / len(copies), len(pairs), int((~is_true).sum())


def measure(raw_dir: Path, count: int) -> None:
    archive = Archive.open(raw_dir / "sports")
    table = pd.read_csv(io.BytesIO(archive.read("train_labels.csv")))
    names = table[table["sports"].isin(CLASSES)]["image"].sample(count, random_state=0)
    images = [open_upright(archive.read(f"train/train/{name}"), ImageRules()) for name in names]
    originals = [appearance_of(image) for image in images]
    recalls, pairs, false = [], 0, 0
    for transformation in (*WANTED, *BEYOND):
        copies = [transformed(transformation, image, seed) for seed, image in enumerate(images)]
        recall, all_found, wrong = found_pairs(originals, copies)
        print(f"{transformation.__name__:15} recall {recall:6.1%}, {wrong} of {all_found} false")
        if transformation in WANTED:
            recalls.append(recall)
            pairs, false = pairs + all_found, false + wrong
    print(f"all but the last {len(BEYOND)}: recall {np.mean(recalls):.1%}, ", end="")
    print(f"precision {1 - false / pairs:.1%}")


def describe(task: tuple[Path, str]) -> np.ndarray:
    archive, name = task
    return appearance_of(open_upright(Archive.open(archive).read(name), ImageRules()))


def time_whole(raw_dir: Path) -> None:
    tasks = [
        (raw_dir / corpus, name)
        for corpus in ("sports", "flickr8k")
        for name in Archive.open(raw_dir / corpus).names()
        if name.endswith(".jpg")
    ]
    images = [open_upright(Archive.open(a).read(name), ImageRules()) for a, name in tasks[:500]]
    start = time.process_time()
    for image in images:
        appearance_of(image)
    each_ms = (time.process_time() - start) / len(images) * 1e3
    with Pool(CONFIG.processes) as pool:
        appearances = pool.map(describe, tasks, chunksize=64)
    wall, cpu = time.perf_counter(), time.process_time()
    pairs = near_duplicate_pairs(np.array(appearances), *LIMITS, CONFIG.processes)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{len(tasks)} images: keypoints {each_ms:.2f} ms of one core each; {len(pairs)} pairs in "
    )
    print(f"{wall:.0f} s ({cpu:.0f} s of CPU), peak resident memory {peak:.0f} MiB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--raw-dir", type=Path, required=True)
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--whole", action="store_true")
    arguments = parser.parse_args()
    if arguments.whole:
        time_whole(arguments.raw_dir)
    else:
        measure(arguments.raw_dir, arguments.images)
