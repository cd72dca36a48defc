from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from sports_clip_pipeline.data.user_images import ImageFile
from sports_clip_pipeline.io.state import Counter
from sports_clip_pipeline.predictor.batch_prediction import Block, Failure, Source
from sports_clip_pipeline.predictor.prediction_tables import (
    AnswerFiles,
    Tally,
    answer_columns,
    answer_row,
    map_name,
    write_answers,
)

CLASSES = ("chess", "table tennis", "wwe")
SURE, UNSURE = [0.1, 0.7, 0.2], [0.4, 0.35, 0.25]


class Bar(Counter):
    """A bar that remembers."""

    def __init__(self) -> None:
        self.done: list[int] = []

    def update(self, n: int = 1) -> None:
        self.done.append(n)


def block(rows: dict[str, list[float]], *failures: Failure) -> Block:
    sources = tuple(ImageFile(name, name) for name in rows)
    return Block(sources, np.array([*rows.values()]).reshape(len(rows), 3), failures)


BLOCKS = [
    block({"a.jpg": SURE, 'b, "c".jpg': UNSURE}, Failure("d.gif", "truncated", "ends")),
    block({}, Failure("e.txt", "not_an_image", "starts with b'x'")),
    block({"f\udcff.jpg": SURE}),
]


def test_each_photograph_has_its_answer_and_its_most_probable_classes(tmp_path: Path) -> None:
    files, bar = AnswerFiles.within(tmp_path), Bar()
    tally = write_answers(iter(BLOCKS), CLASSES, 0.5, files, bar)
    table = pd.read_csv(files.answers)
    assert list(table.columns) == answer_columns(3)
    assert table["image"].tolist() == ["a.jpg", 'b, "c".jpg', "f\\udcff.jpg"]
    assert table["answer"].tolist() == ["table tennis", "none of these", "table tennis"]
    assert table.loc[1, ["label_1", "label_2", "label_3"]].tolist() == list(CLASSES)
    assert table.loc[1, ["probability_1", "probability_3"]].tolist() == [0.4, 0.25]
    failed = pd.read_csv(files.failed)
    assert failed.to_dict("list") == {
        "image": ["d.gif", "e.txt"],
        "reason": ["truncated", "not_an_image"],
        "detail": ["ends", "starts with b'x'"],
    }
    assert (tally.answered, tally.refused, bar.done) == (3, 1, [3, 1, 1])
    assert tally.failed == {"truncated": 1, "not_an_image": 1}


def test_a_table_grows_with_the_blocks_and_keeps_none(tmp_path: Path) -> None:
    files = AnswerFiles.within(tmp_path)
    big = {f"{number}.jpg": SURE for number in range(2000)}  # more than a buffer of the file

    def growing() -> Iterator[Block]:
        yield block(big)
        first = files.answers.stat().st_size
        yield block(big)
        assert files.answers.stat().st_size > first > 50_000

    assert write_answers(growing(), CLASSES, None, files, Counter()).answered == 4000


def test_five_classes_at_most_are_listed_the_first_of_equals_first() -> None:
    row = answer_row("a", np.full(7, 1 / 7), list("tuvwxyz"), "t")
    assert row[:4] == ["a", "t", "t", "0.142857"]
    assert len(row) == len(answer_columns(7)) == 12
    assert row[2::2] == list("tuvwx")


def test_maps_are_drawn_of_answers_that_are_classes(tmp_path: Path) -> None:
    files, asked = AnswerFiles.within(tmp_path), []

    def draw(source: Source, answer: str, probability: float) -> bytes:
        asked.append((source.name, answer, probability))
        return b"jpeg"

    write_answers(BLOCKS, CLASSES, 0.5, files, Counter(), draw)
    assert asked == [("a.jpg", "table tennis", 0.7), ("f\udcff.jpg", "table tennis", 0.7)]
    found = sorted(path.name for path in files.maps.iterdir())
    assert found == ["000000-table_tennis.jpg", "000002-table_tennis.jpg"]


def test_a_class_s_name_cannot_leave_the_folder() -> None:
    assert map_name(3, "../a b/é") == "000003-_a_b_.jpg"


def test_the_last_line_counts_everything() -> None:
    tally = Tally(1200, 30)
    assert tally.in_words() == (
        "1,200 files: 1,200 answered, 30 of them with 'none of these'; 0 set aside"
    )
    tally.failed.update(["truncated", "missing", "truncated"])
    assert tally.in_words().endswith(
        "; 3 set aside (2 truncated, 1 missing), listed in predictions_failed.csv"
    )
    assert tally.metrics() == {
        "predict/answered": 1200,
        "predict/refused": 30,
        "predict/failed": 3,
    }
