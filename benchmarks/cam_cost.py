"""Class activation maps of 100 images, beside as many plain forward and backward passes.

    python benchmarks/cam_cost.py [--encoder lite0] [--method gradcam] [--rounds 5] [--force]

Both sides see the same images (noise, at 224 pixels) one at a time, on all cores, through the
encoder with its own 1,000 classes. They take turns; medians and their ratio are printed. A pass
is one score's gradient by the pixels. A map needs no more than the gradient at its layer, so that a
ratio below 1 is nothing strange; wanted is at most 2.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable

import torch
from side_by_side import add_force, refuse_when_busy
from torch import nn

from sports_clip_pipeline.encoders.image_encoders import load_image_encoder
from sports_clip_pipeline.explain.cam import class_activation_map
from sports_clip_pipeline.explain.networks import find_layer, frozen
from sports_clip_pipeline.machine import cores
from sports_clip_pipeline.pipelines.cam.config import METHODS

IMAGES, SIZE, WANTED = 100, 224, 2.0
GRADIENT_METHODS = [name for name in METHODS if name not in ("eigencam", "scorecam")]


def plain_passes(encoder: nn.Module, images: torch.Tensor) -> None:
    """The gradient of one score by the pixels, an image at a time."""
    with frozen(encoder):
        for number, pixels in enumerate(images):
            leaf = pixels[None].clone().requires_grad_()
            encoder(leaf)[0, number].backward()


def maps(encoder: nn.Module, images: torch.Tensor, method: str) -> None:
    """A map of the same scores."""
    layer = find_layer(encoder)
    for number, pixels in enumerate(images):
        class_activation_map(
            encoder, layer, pixels[None], number, image=str(number), method=method
        )  # fmt: skip


def seconds(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoder", default="lite0")
    parser.add_argument("--method", default="gradcam", choices=GRADIENT_METHODS)
    parser.add_argument("--rounds", type=int, default=5)
    add_force(parser)
    given = parser.parse_args()
    refuse_when_busy(given.force)
    torch.set_num_threads(cores())
    encoder = load_image_encoder(given.encoder)
    draw = torch.Generator().manual_seed(0)
    images = torch.rand(IMAGES, 3, SIZE, SIZE, generator=draw) * 2 - 1
    sides = {
        "forward and backward": lambda: plain_passes(encoder, images),
        given.method: lambda: maps(encoder, images, given.method),
    }
    for work in sides.values():  # the first pass of each is warming up
        work()
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(given.rounds):
        for name, work in sides.items():
            taken[name].append(seconds(work))
    plain, mapped = (statistics.median(times) for times in taken.values())
    print(f"{given.encoder}, {IMAGES} images, {cores()} cores, medians of {given.rounds}:\n")
    print(f"| side | seconds |\n|---|---|\n| forward and backward | {plain:.2f} |")
    print(f"| {METHODS[given.method]} | {mapped:.2f} |")
    ratio = mapped / plain
    print(
        f"\nratio {ratio:.2f}: {'pass' if ratio <= WANTED else '**short**'} (wanted <= {WANTED:g})"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
