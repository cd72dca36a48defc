"""What answering images costs beside the network alone, and the network beside eager torch.

    python benchmarks/predict_rate.py PREDICTOR IMAGES [--rounds 5] [--workers 0] [--force]

PREDICTOR is a predictor's folder, IMAGES what `predict.images` takes, some hundreds of them.
Two comparisons, each in turns (A B A B …), medians of the rounds:

* all of it (read, decode, look, answer, write) against the exported network on squares that stand
  in memory, both in the same number of processes, and both from the first answers on: the start of
  processes is in neither.
* the exported network against eager torch, contiguous and channels last, on the same squares, in
  one thread each.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from side_by_side import add_force, refuse_when_busy, verdict

from sports_clip_pipeline import load_exported, load_predictor
from sports_clip_pipeline.data.transforms import UnusableImageError, open_upright
from sports_clip_pipeline.data.user_images import ImageFiles
from sports_clip_pipeline.machine import cores
from sports_clip_pipeline.pipelines.ingest.config import ImageRules
from sports_clip_pipeline.predictor.batch_prediction import (
    BLOCK,
    predict_all,
    write_predictions,
)
from sports_clip_pipeline.predictor.encoder_classifier import FullPredictor
from sports_clip_pipeline.predictor.onnx_export import ExportedPredictor, export_predictor
from sports_clip_pipeline.predictor.predictor import Predictor

LEAST_SHARE, LEAST_SPEED_UP = 0.6, 2.0
HERE: dict[str, object] = {}
Run = Callable[[Sequence[np.ndarray]], object]


class Clock:
    """Images a second from the first block to the last."""

    def __init__(self) -> None:
        self.start_s, self.end_s, self.count = 0.0, 0.0, 0

    def update(self, n: int = 1) -> None:
        self.end_s = time.perf_counter()
        if self.start_s:
            self.count += n
        else:
            self.start_s = self.end_s

    def per_s(self) -> float:
        return self.count / (self.end_s - self.start_s)


def whole_rate(images: ImageFiles, folder: Path, predictor: Predictor, workers: int) -> float:
    """Images a second of all that `predict.images` does."""
    clock = Clock()
    with tempfile.TemporaryDirectory() as place:
        blocks = predict_all(images, partial(load_exported, folder), ImageRules(), workers)
        write_predictions(blocks, predictor.classes, predictor.threshold, Path(place), clock)
    return clock.per_s()


def bare_rate(folder: Path, squares: Sequence[np.ndarray], count: int, workers: int) -> float:
    """Images a second of the network alone, in as many processes with as many threads."""
    setup = (folder, tuple(squares), max(1, cores() // workers))
    clock = Clock()
    with ProcessPoolExecutor(workers, get_context("spawn"), set_up, setup) as pool:
        for _ in pool.map(answer_from_memory, range(count // BLOCK)):
            clock.update(BLOCK)
    return clock.per_s()


def set_up(folder: Path, squares: tuple[np.ndarray, ...], threads: int) -> None:
    HERE["network"], HERE["squares"] = load_exported(folder, threads), squares


def answer_from_memory(number: int) -> None:
    HERE["network"](HERE["squares"])  # type: ignore[operator]


def squares_of(images: ImageFiles, network: ExportedPredictor) -> list[np.ndarray]:
    """A block of the images as the network sees them, in memory."""
    seen = []
    for file in islice(images, 4 * BLOCK):
        try:
            image = open_upright(file.read(), ImageRules())
        except UnusableImageError:
            continue
        seen.append([look.pixels(image) for look in network.input_specs])
    if len(seen) < BLOCK:
        raise SystemExit(f"Error: wanted {BLOCK} images at least, got {len(seen)}")
    return [np.stack(squares) for squares in zip(*seen[:BLOCK], strict=True)]


def networks(predictor: Predictor, folder: Path) -> dict[str, Run]:
    """The exported network and eager torch, one thread each."""
    torch.set_num_threads(1)
    module, last = FullPredictor(predictor), FullPredictor(predictor)
    last = last.to(memory_format=torch.channels_last)

    def eager(built: FullPredictor) -> Run:
        def run(squares: Sequence[np.ndarray]) -> torch.Tensor:
            with torch.inference_mode():
                return built(*map(torch.from_numpy, squares))

        return run

    return {
        "ONNX Runtime": load_exported(folder, threads=1),
        "eager torch": eager(module),
        "eager torch, channels last": eager(last),
    }


def per_image_ms(run: Run, squares: Sequence[np.ndarray]) -> float:
    start = time.perf_counter()
    run(squares)
    return 1000 * (time.perf_counter() - start) / len(squares[0])


def in_turns(sides: dict[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """The median of each side."""
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            taken[name].append(side())
    return {name: statistics.median(values) for name, values in taken.items()}


def compare(predictor: Predictor, images: ImageFiles, rounds: int, workers: int) -> None:
    """Print both comparisons."""
    count = images.count()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "exported"
        difference = export_predictor(predictor, folder)
        print(f"export: probabilities differ from eager torch's by {difference:.1e} at most")
        squares = squares_of(images, load_exported(folder, threads=1))
        rates = in_turns(
            {
                "whole": lambda: whole_rate(images, folder, predictor, workers),
                "bare": lambda: bare_rate(folder, squares, count, workers),
            },
            rounds,
        )
        share = rates["whole"] / rates["bare"]
        whole, bare = rates["whole"], rates["bare"]
        print(f"{count} files, {workers} processes: {whole:.1f} a second of all work, {bare:.1f}")
        print(f"of the network alone: {share:.0%}, {verdict(share, LEAST_SHARE)}")
        runs = networks(predictor, folder)
        sides = {name: lambda run=run: per_image_ms(run, squares) for name, run in runs.items()}
        in_turns(sides, 1)  # the first pass pays for memory
        spent = in_turns(sides, rounds)
    for name, ms in spent.items():
        faster = ms / spent["ONNX Runtime"]
        said = verdict(faster, LEAST_SPEED_UP) if name == "eager torch" else ""
        print(f"{name:<28} {ms:7.1f} ms an image, {faster:4.1f} × ONNX Runtime's  {said}")


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("predictor", type=Path)
    parser.add_argument("images")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=0)
    add_force(parser)
    options = parser.parse_args()
    print(f"load average {refuse_when_busy(options.force):.1f}, {cores()} cores")
    images = ImageFiles.at(options.images)
    workers = options.workers or cores()
    compare(load_predictor(options.predictor), images, options.rounds, workers)


if __name__ == "__main__":
    main()
