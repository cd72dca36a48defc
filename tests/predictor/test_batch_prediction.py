import io
import itertools
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sports_clip_pipeline import load_exported
from sports_clip_pipeline.data.transforms import InputSpec, UnusableImageError, open_upright
from sports_clip_pipeline.data.user_images import ImageFile
from sports_clip_pipeline.pipelines.ingest.config import ImageRules
from sports_clip_pipeline.predictor import batch_prediction
from sports_clip_pipeline.predictor.batch_prediction import (
    NONE_OF_THESE,
    Block,
    Failure,
    Source,
    Tally,
    map_name,
    predict_all,
    predict_block,
    predict_rows,
    prediction_columns,
    prediction_row,
    write_predictions,
)

RULES = ImageRules()
INPUT_SPECS = (InputSpec(32), InputSpec(48, view="centre"))


def png(grey: int) -> bytes:
    sink = io.BytesIO()
    Image.new("RGB", (60, 40), (grey, grey, grey)).save(sink, "PNG")
    return sink.getvalue()


@dataclass(frozen=True)
class GreyImage:
    """An image of one grey; a broken one if negative."""

    grey: int

    @property
    def name(self) -> str:
        return str(self.grey)

    def read(self) -> bytes:
        if self.grey == -2:
            raise UnusableImageError("missing", "no such file")
        return png(self.grey) if self.grey >= 0 else b"GIF89a and nothing more"


class Greys:
    """Predicts the mean grey of each input spec."""

    input_specs = INPUT_SPECS

    def __call__(self, crops: Sequence[np.ndarray]) -> np.ndarray:
        assert [crop.shape[1:] for crop in crops] == [(32, 32, 3), (48, 48, 3)]
        means = [crop.reshape(len(crop), -1).mean(axis=1) for crop in crops]
        return np.stack(means, axis=1).astype(np.float32)


def build_greys(threads: int) -> Greys:
    return Greys()


def rows(blocks: Sequence[Block]) -> list[tuple[str, float]]:
    return [
        (source.name, float(row[0]))
        for block in blocks
        for source, row in zip(block.sources, block.probabilities, strict=True)
    ]


def test_broken_files_are_rejected_and_the_rest_is_classified() -> None:
    block = predict_block([GreyImage(grey) for grey in (10, -1, 30, -2)], Greys(), RULES)
    assert rows([block]) == [("10", 10.0), ("30", 30.0)]
    found = [(failure.name, failure.reason) for failure in block.failures]
    assert found == [("-1", "not_an_image"), ("-2", "missing")]
    assert len(block) == 4


def test_a_block_of_broken_files_does_not_run_the_network() -> None:
    class Unused(Greys):
        def __call__(self, crops: Sequence[np.ndarray]) -> np.ndarray:
            raise AssertionError("nothing to answer")

    block = predict_block([GreyImage(-2)], Unused(), RULES)
    assert (block.sources, len(block.failures)) == ((), 1)


@pytest.mark.parametrize("workers", [1, 2])
def test_predictions_are_in_the_order_of_the_images(workers: int) -> None:
    sources = [GreyImage(grey) for grey in range(11)]
    blocks = list(predict_all(sources, build_greys, RULES, workers, block=3))
    assert [len(block) for block in blocks] == [3, 3, 3, 2]
    assert rows(blocks) == [(str(grey), float(grey)) for grey in range(11)]
    assert list(predict_all([], build_greys, RULES, workers)) == []


def test_sources_are_read_lazily() -> None:
    calls = itertools.count()

    def endless() -> Iterator[GreyImage]:
        while True:
            next(calls)
            yield GreyImage(7)

    blocks = predict_all(endless(), build_greys, RULES, 1, block=4)
    for number in range(1, 6):
        assert len(next(blocks)) == 4
        assert next(calls) - (number - 1) <= 4 * (number + 2)
    blocks.close()  # type: ignore[attr-defined]


def test_one_image_is_decoded_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    alive, most = 0, 0

    def dropped() -> None:
        nonlocal alive
        alive -= 1

    def opened(content: bytes, rules: ImageRules) -> Image.Image:
        nonlocal alive, most
        image = open_upright(content, rules)
        weakref.finalize(image, dropped)
        alive += 1
        most = max(most, alive)
        return image

    monkeypatch.setattr(batch_prediction, "open_upright", opened)
    sources = [GreyImage(grey) for grey in range(40)]
    assert len(rows(list(predict_all(sources, build_greys, RULES, 1, block=8)))) == 40
    assert most == 1
    assert alive == 0


def test_a_worker_s_error_ends_the_run(tmp_path: Path) -> None:
    build = partial(load_exported, tmp_path / "nowhere")
    with pytest.raises(Exception, match="is no exported predictor"):
        list(predict_all([GreyImage(1)], build, RULES, 1))


CLASSES = ("chess", "table tennis", "wwe")
CONFIDENT, UNCERTAIN = [0.1, 0.7, 0.2], [0.4, 0.35, 0.25]


class Bar:
    """A progress bar that records its updates."""

    def __init__(self) -> None:
        self.done: list[int] = []

    def update(self, n: int = 1) -> None:
        self.done.append(n)


def block(rows: dict[str, list[float]], *failures: Failure) -> Block:
    sources = tuple(ImageFile(name, name) for name in rows)
    return Block(sources, np.array([*rows.values()]).reshape(len(rows), 3), failures)


BLOCKS = [
    block({"a.jpg": CONFIDENT, 'b, "c".jpg': UNCERTAIN}, Failure("d.gif", "truncated", "ends")),
    block({}, Failure("e.txt", "not_an_image", "starts with b'x'")),
    block({"f\udcff.jpg": CONFIDENT}),
]


def test_tables_list_predictions_with_top_classes_and_failures(tmp_path: Path) -> None:
    bar = Bar()
    tally = write_predictions(iter(BLOCKS), CLASSES, 0.5, tmp_path, bar)
    table = pd.read_csv(tmp_path / "predictions.csv")
    assert list(table.columns) == prediction_columns(3)
    assert table["image"].tolist() == ["a.jpg", 'b, "c".jpg', "f\\udcff.jpg"]
    assert table["answer"].tolist() == ["table tennis", "none of these", "table tennis"]
    assert table.loc[1, ["label_1", "label_2", "label_3"]].tolist() == list(CLASSES)
    assert table.loc[1, ["probability_1", "probability_3"]].tolist() == [0.4, 0.25]
    failed = pd.read_csv(tmp_path / "predictions_failed.csv")
    assert failed.to_dict("list") == {
        "image": ["d.gif", "e.txt"],
        "reason": ["truncated", "not_an_image"],
        "detail": ["ends", "starts with b'x'"],
    }
    assert (tally.answered, tally.refused, bar.done) == (3, 1, [3, 1, 1])
    assert tally.failed == {"truncated": 1, "not_an_image": 1}


def test_a_table_is_written_block_by_block(tmp_path: Path) -> None:
    table = tmp_path / "predictions.csv"
    big = {f"{number}.jpg": CONFIDENT for number in range(2000)}  # more than a buffer of the file

    def growing() -> Iterator[Block]:
        yield block(big)
        first = table.stat().st_size
        yield block(big)
        assert table.stat().st_size > first > 50_000

    assert write_predictions(growing(), CLASSES, None, tmp_path, Bar()).answered == 4000


def test_at_most_five_classes_are_listed_with_ties_in_class_order() -> None:
    row = prediction_row("a", np.full(7, 1 / 7), list("tuvwxyz"), "t")
    assert row[:4] == ["a", "t", "t", "0.142857"]
    assert len(row) == len(prediction_columns(7)) == 12
    assert row[2::2] == list("tuvwx")


def test_maps_are_drawn_of_predicted_classes_only(tmp_path: Path) -> None:
    calls = []

    def draw(source: Source, answer: str, probability: float) -> bytes:
        calls.append((source.name, answer, probability))
        return b"jpeg"

    write_predictions(BLOCKS, CLASSES, 0.5, tmp_path, Bar(), draw)
    assert calls == [("a.jpg", "table tennis", 0.7), ("f\udcff.jpg", "table tennis", 0.7)]
    found = sorted(path.name for path in (tmp_path / "maps").iterdir())
    assert found == ["000000-table_tennis.jpg", "000002-table_tennis.jpg"]


def test_a_class_name_cannot_escape_the_folder() -> None:
    assert map_name(3, "../a b/é") == "000003-_a_b_.jpg"


def test_the_summary_counts_everything() -> None:
    tally = Tally(1200, 30)
    assert tally.summary() == (
        "1,200 files: 1,200 answered, 30 of them with 'none of these'; 0 rejected"
    )
    tally.failed.update(["truncated", "missing", "truncated"])
    assert tally.summary().endswith(
        "; 3 rejected (2 truncated, 1 missing), listed in predictions_failed.csv"
    )
    assert tally.metrics() == {"predict/answered": 1200, "predict/refused": 30, "predict/failed": 3}


ROWS = np.array([[0.6, 0.4], [0.5, 0.5], [0.1, 0.9]])


@pytest.mark.parametrize(
    ("threshold", "answers"),
    [(0.55, ["a", NONE_OF_THESE, "b"]), (0.6, ["a", NONE_OF_THESE, "b"]), (None, ["a", "a", "b"])],
)
def test_predictions_below_the_threshold_are_none_of_these(
    threshold: float | None, answers: list[str]
) -> None:
    assert predict_rows(ROWS, ("a", "b"), threshold) == answers
