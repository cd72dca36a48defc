"""The answers to one's own photographs as tables that grow on the disk, not in memory."""

from __future__ import annotations

import csv
import re
from collections import Counter as Tallies
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sports_clip_pipeline.io.state import Counter
from sports_clip_pipeline.predictor.batch_prediction import (
    NONE_OF_THESE,
    Block,
    Source,
    predict_rows,
)

TOP = 5
FAILED_COLUMNS = ("image", "reason", "detail")
# From a photograph, the class that it was given and that class's probability, to a JPEG's bytes.
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
        answered: photographs with an answer, `refused` ones among them.
        refused: those of them whose answer is `none of these`.
        failed: files set aside, by reason.
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
    bar: Counter,
    draw: Draw | None = None,
) -> Tally:
    """Write each block as it comes; nothing of it stays in memory.

    Args:
        threshold: see `predict_rows`. bar: advanced by each photograph.
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
