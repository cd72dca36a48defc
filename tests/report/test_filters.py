from __future__ import annotations

from sports_clip_pipeline.report.filters import compose_filters
from sports_clip_pipeline.report.gallery import compose_exhibits
from tests.report.study import LABELS, make_cards, make_predictions


def filters_of(photographs: int) -> dict[str, dict[str, int]]:
    exhibits = compose_exhibits(make_cards(LABELS, photographs), make_predictions(LABELS), 99)
    return {
        one.key: {choice.value: choice.photographs for choice in one.choices}
        for one in compose_filters(exhibits)
    }


def test_a_filter_offers_what_occurs_with_how_many_photographs_it_keeps():
    found = filters_of(4)

    assert found["label"] == {"boxing": 1, "chess": 1, "formula1": 1, "ice hockey": 1}
    # 0 and 2 are right; zero-shot is right of even rows: of 1.jpg it is wrong, of 203.jpg too.
    assert found["answer"] == {"right": 2, "wrong": 2, "mended": 2, "broken": 2}


def test_every_photograph_has_one_class_one_verdict_and_one_band():
    found = filters_of(12)

    assert sum(found["label"].values()) == sum(found["sure"].values()) == 12
    assert found["answer"]["right"] + found["answer"]["wrong"] == 12


def test_without_photographs_there_is_nothing_to_choose():
    assert filters_of(0) == {"label": {}, "answer": {}, "sure": {}}
