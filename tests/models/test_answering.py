from __future__ import annotations

import io
import itertools
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sports_clip_pipeline.models import answering
from sports_clip_pipeline.models.answering import Block, answer_all, answer_block
from sports_clip_pipeline.pipelines.ingest.config import ImageRules
from sports_clip_pipeline.preprocessing.looks import Look
from sports_clip_pipeline.preprocessing.upright import (
    Photograph,
    UnusableImageError,
    open_upright,
)

RULES = ImageRules()
LOOKS = (Look(32, "bicubic", "full"), Look(48, "bicubic", "centre"))


def png(grey: int) -> bytes:
    sink = io.BytesIO()
    Image.new("RGB", (60, 40), (grey, grey, grey)).save(sink, "PNG")
    return sink.getvalue()


@dataclass(frozen=True)
class Drawn:
    """A photograph of one grey; a negative one is broken."""

    grey: int

    @property
    def name(self) -> str:
        return str(self.grey)

    def read(self) -> bytes:
        if self.grey == -2:
            raise UnusableImageError("missing", "no such file")
        return png(self.grey) if self.grey >= 0 else b"GIF89a and nothing more"


class Greys:
    """Answers with the mean grey of each look."""

    looks = LOOKS

    def __call__(self, squares: Sequence[np.ndarray]) -> np.ndarray:
        assert [square.shape[1:] for square in squares] == [(32, 32, 3), (48, 48, 3)]
        means = [square.reshape(len(square), -1).mean(axis=1) for square in squares]
        return np.stack(means, axis=1).astype(np.float32)


@dataclass(frozen=True)
class GreysRecipe:
    """Builds `Greys`, in this process or another."""

    def build(self, threads: int) -> Greys:
        return Greys()


def rows(blocks: Sequence[Block]) -> list[tuple[str, float]]:
    return [
        (source.name, float(row[0]))
        for block in blocks
        for source, row in zip(block.sources, block.probabilities, strict=True)
    ]


def test_broken_files_are_set_aside_and_the_rest_is_answered() -> None:
    block = answer_block([Drawn(10), Drawn(-1), Drawn(30), Drawn(-2)], Greys(), RULES)
    assert rows([block]) == [("10", 10.0), ("30", 30.0)]
    assert [(failure.name, failure.reason) for failure in block.failures] == [
        ("-1", "not_an_image"),
        ("-2", "missing"),
    ]
    assert len(block) == 4


def test_a_block_of_broken_files_alone_asks_nothing_of_the_network() -> None:
    class Silent(Greys):
        def __call__(self, squares: Sequence[np.ndarray]) -> np.ndarray:
            raise AssertionError("nothing to answer")

    block = answer_block([Drawn(-2)], Silent(), RULES)
    assert (block.sources, len(block.failures)) == ((), 1)


@pytest.mark.parametrize("workers", [1, 2])
def test_answers_come_in_the_order_of_the_photographs(workers: int) -> None:
    sources = [Drawn(grey) for grey in range(11)]
    blocks = list(answer_all(sources, GreysRecipe(), RULES, workers, block=3))
    assert [len(block) for block in blocks] == [3, 3, 3, 2]
    assert rows(blocks) == [(str(grey), float(grey)) for grey in range(11)]


def test_no_photographs_have_no_answers() -> None:
    assert list(answer_all([], GreysRecipe(), RULES, 1)) == []


def test_an_endless_row_of_photographs_is_read_only_as_far_as_work_is_under_way() -> None:
    asked = itertools.count()

    def endless() -> Iterator[Drawn]:
        while True:
            next(asked)
            yield Drawn(7)

    blocks = answer_all(endless(), GreysRecipe(), RULES, 1, block=4)
    for number in range(1, 6):
        assert len(next(blocks)) == 4
        assert next(asked) - (number - 1) <= 4 * (number + 2)
    blocks.close()  # type: ignore[attr-defined]


def test_one_photograph_is_open_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    alive, most = 0, 0

    def dropped() -> None:
        nonlocal alive
        alive -= 1

    def opened(content: bytes, rules: ImageRules) -> Photograph:
        nonlocal alive, most
        photograph = open_upright(content, rules)
        weakref.finalize(photograph.image, dropped)
        alive += 1
        most = max(most, alive)
        return photograph

    monkeypatch.setattr(answering, "open_upright", opened)
    sources = [Drawn(grey) for grey in range(40)]
    assert len(rows(list(answer_all(sources, GreysRecipe(), RULES, 1, block=8)))) == 40
    assert most == 1
    assert alive == 0


def test_a_worker_s_error_ends_the_run(tmp_path: Path) -> None:
    recipe = answering.Exported(tmp_path / "nowhere")
    with pytest.raises(Exception, match="is no exported predictor"):
        list(answer_all([Drawn(1)], recipe, RULES, 1))
