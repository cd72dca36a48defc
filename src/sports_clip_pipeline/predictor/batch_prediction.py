"""Batch prediction: classifies many images in several processes, and writes CSV tables."""

import csv
import re
from collections import Counter as Counts
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from sports_clip_pipeline.data.transforms import InputSpec, UnusableImageError, open_upright
from sports_clip_pipeline.machine import cores, exit_with_parent, worker_processes
from sports_clip_pipeline.pipelines.ingest.config import ImageRules

NONE_OF_THESE = "none of these"
BLOCK = 16
_AHEAD = 2  # blocks submitted for each worker: one at work and one waiting
TOP_K = 5
PREDICTIONS, FAILED, MAPS = "predictions.csv", "predictions_failed.csv", "maps"
_WORKER: dict[str, Any] = {}


def predict_rows(
    probabilities: np.ndarray, classes: Sequence[str], threshold: float | None
) -> list[str]:
    """Top-1 class of each row, with abstention below a threshold (selective prediction).

    Args:
        probabilities: (N, C) in [0, 1]. classes: C labels.
        threshold: the least top-1 probability that gives a class; None never abstains.
    Returns: N labels, `none of these` for abstentions. For [[.6, .4], [.5, .5]] of a and b at
        .55: a, none of these.
    """
    best = np.asarray(classes, dtype=object)[probabilities.argmax(axis=1)]
    accepted = probabilities.max(axis=1) >= (threshold or 0.0)
    return list(np.where(accepted, best, NONE_OF_THESE))


class Source(Protocol):
    """An image to classify; small enough to send to a process."""

    @property
    def name(self) -> str:
        """Its name in tables."""

    def read(self) -> bytes:
        """The file's content. Raises: UnusableImageError."""


class Classifier(Protocol):
    """Resized images to probabilities: an `ExportedPredictor` or a `TorchClassifier`."""

    input_specs: tuple[InputSpec, ...]

    def __call__(self, crops: Sequence[np.ndarray]) -> np.ndarray:
        """(B, S, S, 3) uint8 of each input spec to probabilities (B, C) float32."""


# Builds a classifier that uses so many threads; sent to the workers.
BuildClassifier = Callable[[int], Classifier]


class Failure(NamedTuple):
    """A rejected file, with reason and detail of its `UnusableImageError`."""

    name: str
    reason: str
    detail: str


@dataclass(frozen=True)
class Block:
    """Probabilities (n, C) float32 of n usable images, and the rejected files."""

    sources: tuple[Source, ...]
    probabilities: np.ndarray
    failures: tuple[Failure, ...]

    def __len__(self) -> int:
        return len(self.sources) + len(self.failures)


def predict_all(
    sources: Iterable[Source],
    build: BuildClassifier,
    rules: ImageRules,
    workers: int,
    block: int = BLOCK,
) -> Iterator[Block]:
    """Classify images in blocks, in order.

    Args:
        sources: read lazily, two blocks ahead for each worker.
        build: such as `partial(load_exported, folder)` or `partial(TorchClassifier, predictor)`.
        workers: processes; with one, this process does the work.
        block: images sent to a worker at once.
    """
    remaining = iter(sources)
    blocks = iter(lambda: list(islice(remaining, block)), [])
    with _pool(build, rules, workers) as submit:
        pending = deque(submit(work) for work in islice(blocks, max(1, workers) * _AHEAD))
        while pending:
            result = pending.popleft()()
            pending.extend(submit(work) for work in islice(blocks, 1))
            yield result


def predict_block(sources: Sequence[Source], classifier: Classifier, rules: ImageRules) -> Block:
    """Classify some images; one of them is decoded at a time."""
    decoded: list[list[np.ndarray]] = []
    usable: list[Source] = []
    failures: list[Failure] = []
    for source in sources:
        try:
            decoded.append(_inputs(source, classifier.input_specs, rules))
            usable.append(source)
        except UnusableImageError as error:
            failures.append(Failure(source.name, error.reason, error.detail))
    if not usable:
        return Block((), np.zeros((0, 0), dtype=np.float32), tuple(failures))
    crops = [np.stack(crops) for crops in zip(*decoded, strict=True)]  # (n, S, S, 3) each
    return Block(tuple(usable), classifier(crops), tuple(failures))


def _inputs(source: Source, specs: Sequence[InputSpec], rules: ImageRules) -> list[np.ndarray]:
    image = open_upright(source.read(), rules)
    return [spec.pixels(image) for spec in specs]


@contextmanager
def _pool(
    build: BuildClassifier, rules: ImageRules, workers: int
) -> Iterator[Callable[[Sequence[Source]], Callable[[], Block]]]:
    if workers <= 1:
        classifier = build(cores())
        yield lambda work: lambda: predict_block(work, classifier, rules)
        return
    threads = max(1, cores() // workers)
    with worker_processes(workers, _set_up, build, rules, threads) as executor:
        yield lambda work: executor.submit(_predict_block, work).result


def _set_up(build: BuildClassifier, rules: ImageRules, threads: int) -> None:
    exit_with_parent()
    _WORKER["classifier"], _WORKER["rules"] = build(threads), rules


def _predict_block(work: Sequence[Source]) -> Block:
    return predict_block(work, _WORKER["classifier"], _WORKER["rules"])


# From an image, its predicted class and that class's probability, to a JPEG's bytes.
DrawMap = Callable[[Source, str, float], bytes]


@dataclass
class Tally:
    """Counts of a batch prediction: classified images, abstentions among them, rejected files."""

    answered: int = 0
    refused: int = 0
    failed: Counts[str] = field(default_factory=Counts)

    def summary(self) -> str:
        """One line: files, predictions, abstentions, and failures by reason."""
        failed = self.failed.total()
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in self.failed.most_common())
        listed = f" ({reasons}), listed in {FAILED}" if failed else ""
        return (
            f"{self.answered + failed:,} files: {self.answered:,} answered, {self.refused:,} of "
            f"them with {NONE_OF_THESE!r}; {failed:,} rejected{listed}"
        )

    def metrics(self) -> dict[str, float]:
        """The counts by flat name."""
        counts = {"answered": self.answered, "refused": self.refused, "failed": self.failed.total()}
        return {f"predict/{name}": count for name, count in counts.items()}


def prediction_columns(classes: int) -> list[str]:
    """`image`, `answer`, then `label_1`, `probability_1` … of the most probable classes."""
    ranks = range(1, min(TOP_K, classes) + 1)
    top = [f"{kind}_{rank}" for rank in ranks for kind in ("label", "probability")]
    return ["image", "answer", *top]


def prediction_row(
    name: str, probabilities: np.ndarray, classes: Sequence[str], answer: str
) -> list[str]:
    """One row of the table from probabilities (C,); ties are in the order of the classes."""
    order = np.argsort(-probabilities, kind="stable")[:TOP_K]
    top = [cell for c in order for cell in (classes[c], f"{probabilities[c]:.6f}")]
    return [name, answer, *top]


def write_predictions(
    blocks: Iterable[Block],
    classes: Sequence[str],
    threshold: float | None,
    folder: Path,
    bar: Any,
    draw: DrawMap | None = None,
) -> Tally:
    """Write each block as it comes, in constant memory.

    Args:
        threshold: see `predict_rows`. bar: advanced by each image.
        folder: empty; gets `predictions.csv` (see `prediction_columns`), `predictions_failed.csv`
            (`image,reason,detail`) and the folder `maps` of `<row, from 0>-<class>.jpg`.
        draw: draws the map of an image whose prediction is a class; None draws none.
    """
    tally = Tally()
    (folder / MAPS).mkdir()
    with (
        _table(folder / PREDICTIONS, prediction_columns(len(classes))) as predictions,
        _table(folder / FAILED, ["image", "reason", "detail"]) as failed,
    ):
        for block in blocks:
            answers = predict_rows(block.probabilities, classes, threshold) if block.sources else []
            rows = zip(block.sources, block.probabilities, answers, strict=True)
            for number, (source, probabilities, answer) in enumerate(rows, start=tally.answered):
                predictions.writerow(prediction_row(source.name, probabilities, classes, answer))
                if draw is not None and answer != NONE_OF_THESE:
                    picture = draw(source, answer, float(probabilities.max()))
                    (folder / MAPS / map_name(number, answer)).write_bytes(picture)
            failed.writerows(block.failures)
            tally.answered += len(block.sources)
            tally.refused += answers.count(NONE_OF_THESE)
            tally.failed.update(failure.reason for failure in block.failures)
            bar.update(len(block))
    return tally


def map_name(number: int, label: str) -> str:
    """File name of a map: row of the prediction, and class, as in `000012-table_tennis.jpg`."""
    return f"{number:06d}-{re.sub(r'[^A-Za-z0-9-]+', '_', label)}.jpg"


@contextmanager
def _table(path: Path, columns: Sequence[str]) -> Iterator[Any]:
    # A file's name may hold bytes that are not UTF-8.
    with path.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        yield writer
