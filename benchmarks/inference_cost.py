"""What each packaged image encoder costs, and every set of them side by side.

    python benchmarks/inference_cost.py [--size 224] [--block 32] [--rounds 7] [--force]

Weights are counted without the encoders' own 1,000-class heads. Milliseconds an image are those
of one view, in blocks, by the fastest backend that agrees with eager torch: processor time of one
core, which a busy machine changes little, and the clock on all cores, which wants an idle one. A
set of encoders costs the sum. The first line is what all of them pay: a JPEG of 160 x 160 pixels
decoded, resized and normalised, on one core. Rows take turns, so that whatever else the machine
does meets all.
"""

from __future__ import annotations

import argparse
import io
import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from side_by_side import add_force, refuse_when_busy

from sports_clip_pipeline.data.transforms import ImageTransform
from sports_clip_pipeline.encoders import image_encoders
from sports_clip_pipeline.encoders.backends import (
    EncoderProgram,
    build_backend,
    candidates,
    choose_backend,
)
from sports_clip_pipeline.encoders.weights import IMAGE_ENCODERS
from sports_clip_pipeline.machine import cores

PHOTO_PX = 160
Work = Callable[[], object]


def drawn_jpeg() -> bytes:
    """An image-sized JPEG of smooth noise."""
    grid = np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    sink = io.BytesIO()
    picture = Image.fromarray(grid).resize((PHOTO_PX, PHOTO_PX), Image.Resampling.BICUBIC)
    picture.save(sink, "JPEG", quality=90)
    return sink.getvalue()


def to_pixels(jpeg: bytes, seen: ImageTransform, block: int) -> np.ndarray:
    """(B, 3, size, size): the same image decoded and prepared B times."""
    return seen.normalise([seen.crop(Image.open(io.BytesIO(jpeg))) for _ in range(block)])


def prepared(name: str, size: int, block: int, jpeg: bytes, folder: Path) -> tuple[str, list[Work]]:
    """The encoder's chosen backend, and one block's work on one core and on all."""
    program = EncoderProgram("image", name, folder / f"{name}.onnx", size)
    pixels = to_pixels(jpeg, image_encoders.image_preprocessing(name, size, "full"), block)
    chosen = choose_backend(program, candidates(program), (pixels,)).backend
    work = []
    for threads in (1, cores()):
        backend = build_backend(program, chosen, threads)
        work.append(lambda backend=backend: backend(pixels))
    return chosen, work


def medians(
    works: dict[str, Work], rounds: int, block: int, clock: Callable[[], float]
) -> dict[str, float]:
    """Median milliseconds an image of each, in turn, after one unmeasured round."""
    taken: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(rounds + 1):
        for name, work in works.items():
            start = clock()
            work()
            if turn:
                taken[name].append(1000 * (clock() - start) / block)
    return {name: statistics.median(values) for name, values in taken.items()}


def measure(size: int, block: int, rounds: int) -> list[tuple[str, str, str, str, str]]:
    """The rows of the table."""
    import torch

    jpeg, seen = drawn_jpeg(), image_encoders.image_preprocessing(IMAGE_ENCODERS[0], size, "full")
    chosen: dict[str, str] = {}
    single: dict[str, Work] = {"pixels": lambda: to_pixels(jpeg, seen, block)}
    parallel: dict[str, Work] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in IMAGE_ENCODERS:
            chosen[name], (one, every) = prepared(name, size, block, jpeg, Path(folder))
            single[name], parallel[name] = one, every
        torch.set_num_threads(1)
        one_core = medians(single, rounds, block, time.process_time)
        torch.set_num_threads(cores())
        all_cores = medians(parallel, rounds, block, time.perf_counter)
    rows = [("image to pixels", "", f"{one_core['pixels']:.2f}", "", "")]
    for count in range(1, len(IMAGE_ENCODERS) + 1):
        for names in itertools.combinations(IMAGE_ENCODERS, count):
            millions = (
                sum(image_encoders.image_encoder(name).parameter_count() for name in names) / 1e6
            )
            times = [sum(times[name] for name in names) for times in (one_core, all_cores)]
            backends = " + ".join(dict.fromkeys(chosen[name] for name in names))
            shown = (f"{times[0]:.2f}", f"{times[1]:.2f}")
            rows.append((" + ".join(names), f"{millions:.2f}", *shown, backends))
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=224, help="side of the square, pixels")
    parser.add_argument("--block", type=int, default=32, help="images a forward pass")
    parser.add_argument("--rounds", type=int, default=7, help="measured rounds (default: 7)")
    add_force(parser)
    given = parser.parse_args()
    load = refuse_when_busy(given.force)
    print(f"median of {given.rounds} rounds in turn, {given.size} x {given.size} pixels, ", end="")
    print(f"blocks of {given.block}, load average {load:.1f}\n")
    print(f"| encoders | parameters M | ms, one core | ms, all {cores()} cores | backend |")
    print("|---|---|---|---|---|")
    for row in measure(given.size, given.block, given.rounds):
        print(f"| {' | '.join(row)} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
