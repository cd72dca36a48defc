"""Batch prediction: classifies many images in several processes, and writes CSV tables."""

from __future__ import annotations

import csv
import re
from collections import Counter as Tallies
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from sports_clip_pipeline.data.transforms import InputSpec, UnusableImageError, open_upright
from sports_clip_pipeline.io.state import ProgressBar
from sports_clip_pipeline.machine import cores, exit_with_parent
from sports_clip_pipeline.pipelines.ingest.config import ImageRules

NONE_OF_THESE = "none of these"


def predict_rows(
    probabilities: np.ndarray, classes: Sequence[str], threshold: float | None
) -> list[str]:
    """The most probable class of each row, `none of these` where its probability is too low.

    Args:
        probabilities: (N, C) in [0, 1]. classes: C labels.
        threshold: the least probability of a class that is answered; None answers all.
    Returns: N answers. For [[.6, .4], [.5, .5]] of a and b at .55: a, none of these.
    """
    best = probabilities.argmax(axis=1)
    sure = np.ones(len(best), bool) if threshold is None else probabilities.max(axis=1) >= threshold
    return [
        classes[column] if kept else NONE_OF_THESE for column, kept in zip(best, sure, strict=True)
    ]


BLOCK = 16
# Blocks under way for each worker: one at work, one waiting, so that none is idle.
_AHEAD = 2
_WORKER: dict[str, Any] = {}


class Source(Protocol):
    """A image somewhere; small enough to send to a process."""

    @property
    def name(self) -> str:
        """What it is called in tables."""

    def read(self) -> bytes:
        """The file's content. Raises: UnusableImageError."""


class Answerer(Protocol):
    """Squares of bytes to probabilities."""

    input_specs: tuple[InputSpec, ...]

    def __call__(self, crops: Sequence[np.ndarray]) -> np.ndarray:
        """(B, S, S, 3) uint8 of each spec to probabilities (B, C) float32."""


@dataclass(frozen=True)
class Failure:
    """A file that was rejected: its name, the reason as `UnusableImageError` has it, and more."""

    name: str
    reason: str
    detail: str


@dataclass(frozen=True)
class Block:
    """What came of some images.

    Attributes:
        sources: those that were answered. probabilities: (n, C) float32 of them.
        failures: the others.
    """

    sources: tuple[Source, ...]
    probabilities: np.ndarray
    failures: tuple[Failure, ...]

    def __len__(self) -> int:
        return len(self.sources) + len(self.failures)


@dataclass(frozen=True)
class Exported:
    """How a worker gets its answerer: from an exported predictor's folder, without torch."""

    folder: Path

    def build(self, threads: int) -> Answerer:
        """Open it."""
        from sports_clip_pipeline.predictor.onnx_predictor import load_exported

        return load_exported(self.folder, threads)


@dataclass(frozen=True)
class Eager:
    """The same by eager torch, for encoders that cannot be exported."""

    predictor: Any

    def build(self, threads: int) -> Answerer:
        """Build the encoders."""
        from sports_clip_pipeline.predictor.encoder_classifier import TorchAnswerer

        return TorchAnswerer(self.predictor, threads)


Recipe = Exported | Eager


def answer_all(
    sources: Iterable[Source], recipe: Recipe, rules: ImageRules, workers: int, block: int = BLOCK
) -> Iterator[Block]:
    """The answers to all images, in their order.

    Args:
        sources: asked for only as far as work is under way.
        workers: processes; with one the work is done here.
        block: images that are sent to a worker at once.
    """
    waiting = iter(sources)
    blocks = iter(lambda: list(islice(waiting, block)), [])
    with _pool(recipe, rules, workers) as submit:
        under_way: deque[Callable[[], Block]] = deque()
        for work in islice(blocks, max(1, workers) * _AHEAD):
            under_way.append(submit(work))
        while under_way:
            done = under_way.popleft()()
            under_way.extend(submit(work) for work in islice(blocks, 1))
            yield done


def answer_block(sources: Sequence[Source], answerer: Answerer, rules: ImageRules) -> Block:
    """The answers to some images; one of them is decoded at a time."""
    seen: list[list[np.ndarray]] = []
    known: list[Source] = []
    failures: list[Failure] = []
    for source in sources:
        try:
            seen.append(_crops(source, answerer.input_specs, rules))
            known.append(source)
        except UnusableImageError as error:
            failures.append(Failure(source.name, error.reason, error.detail))
    if not known:
        return Block((), np.zeros((0, 0), dtype=np.float32), tuple(failures))
    crops = [np.stack(crops) for crops in zip(*seen, strict=True)]  # (n, S, S, 3) each
    return Block(tuple(known), answerer(crops), tuple(failures))


def _crops(source: Source, input_specs: Sequence[InputSpec], rules: ImageRules) -> list[np.ndarray]:
    image = open_upright(source.read(), rules).image
    return [spec.pixels(image) for spec in input_specs]


@contextmanager
def _pool(
    recipe: Recipe, rules: ImageRules, workers: int
) -> Iterator[Callable[[Sequence[Source]], Callable[[], Block]]]:
    if workers <= 1:
        answerer = recipe.build(cores())
        yield lambda work: lambda: answer_block(work, answerer, rules)
        return
    threads = max(1, cores() // workers)
    setup = (recipe, rules, threads)
    context = get_context("spawn")
    with ProcessPoolExecutor(workers, context, _set_up, setup) as executor:

        def submit(work: Sequence[Source]) -> Callable[[], Block]:
            future: Future[Block] = executor.submit(_answer, work)
            return future.result

        try:
            yield submit
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)
            raise


def _set_up(recipe: Recipe, rules: ImageRules, threads: int) -> None:
    exit_with_parent()
    _WORKER["answerer"], _WORKER["rules"] = recipe.build(threads), rules


def _answer(work: Sequence[Source]) -> Block:
    return answer_block(work, _WORKER["answerer"], _WORKER["rules"])


TOP = 5
FAILED_COLUMNS = ("image", "reason", "detail")
# From an image, the class that it was given and that class's probability, to a JPEG's bytes.
Draw = Callable[[Source, str, float], bytes]


@dataclass(frozen=True)
class AnswerFiles:
    """Where the answers are written to.

    Attributes:
        answers: CSV with the columns of `answer_columns`. failed: CSV `image,reason,detail`.
        maps: folder of `<row of answers, from 0>-<class>.jpg`; empty where none are drawn.
    """

    answers: Path
    failed: Path
    maps: Path

    @classmethod
    def within(cls, folder: Path) -> AnswerFiles:
        """In an empty folder, with an empty folder for the maps."""
        maps = folder / "maps"
        maps.mkdir()
        return cls(folder / "predictions.csv", folder / "predictions_failed.csv", maps)


@dataclass
class Tally:
    """What was counted.

    Attributes:
        answered: images with an answer, `refused` ones among them.
        refused: those of them whose answer is `none of these`.
        failed: files rejected, by reason.
    """

    answered: int = 0
    refused: int = 0
    failed: Tallies[str] = field(default_factory=Tallies)

    def in_words(self) -> str:
        """One line: how many files, answers, refusals and failures, these by reason."""
        failed = self.failed.total()
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in self.failed.most_common())
        listed = f" ({reasons}), listed in predictions_failed.csv" if failed else ""
        return (
            f"{self.answered + failed:,} files: {self.answered:,} answered, {self.refused:,} of "
            f"them with {NONE_OF_THESE!r}; {failed:,} set aside{listed}"
        )

    def metrics(self) -> dict[str, float]:
        """The counts by flat name."""
        return {
            "predict/answered": self.answered,
            "predict/refused": self.refused,
            "predict/failed": self.failed.total(),
        }


def answer_columns(classes: int) -> list[str]:
    """`image`, `answer`, then `label_1`, `probability_1` … of the most probable classes."""
    places = range(1, min(TOP, classes) + 1)
    return [
        "image",
        "answer",
        *(f"{what}_{n}" for n in places for what in ("label", "probability")),
    ]


def answer_row(
    name: str, probabilities: np.ndarray, classes: Sequence[str], answer: str
) -> list[str]:
    """One row of the table; of classes that tie the first stands first.

    Args: probabilities: (C,).
    """
    order = np.argsort(-probabilities, kind="stable")[:TOP]
    cells = [(classes[place], f"{probabilities[place]:.6f}") for place in order]
    return [name, answer, *(cell for pair in cells for cell in pair)]


def write_answers(
    blocks: Iterable[Block],
    classes: Sequence[str],
    threshold: float | None,
    files: AnswerFiles,
    bar: ProgressBar,
    draw: Draw | None = None,
) -> Tally:
    """Write each block as it comes; nothing of it stays in memory.

    Args:
        threshold: see `predict_rows`. bar: advanced by each image.
        draw: what draws a map of an answer that is a class; None draws none.
    """
    tally = Tally()
    with (
        _table(files.answers, answer_columns(len(classes))) as answers,
        _table(files.failed, FAILED_COLUMNS) as failed,
    ):
        for block in blocks:
            said = predict_rows(block.probabilities, classes, threshold) if block.sources else []
            rows = zip(block.sources, block.probabilities, said, strict=True)
            for number, (source, probabilities, answer) in enumerate(rows, start=tally.answered):
                answers.writerow(answer_row(source.name, probabilities, classes, answer))
                if draw is not None and answer != NONE_OF_THESE:
                    picture = draw(source, answer, float(probabilities.max()))
                    (files.maps / map_name(number, answer)).write_bytes(picture)
            for failure in block.failures:
                failed.writerow([failure.name, failure.reason, failure.detail])
            tally.answered += len(block.sources)
            tally.refused += said.count(NONE_OF_THESE)
            tally.failed.update(failure.reason for failure in block.failures)
            bar.update(len(block))
    return tally


def map_name(number: int, label: str) -> str:
    """The file of a map: its row in the table of answers, and the class that it speaks of.

    >>> map_name(12, "table tennis")
    '000012-table_tennis.jpg'
    """
    return f"{number:06d}-{re.sub(r'[^A-Za-z0-9-]+', '_', label)}.jpg"


@contextmanager
def _table(path: Path, columns: Sequence[str]) -> Iterator[Any]:
    # A file's name may hold bytes that are no UTF-8; the table is UTF-8 all the same.
    with path.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        yield writer
