from __future__ import annotations

from sports_clip_pipeline.report.figures.audit import mention_bars, part_bars


def test_parts_keep_their_order():
    (bars,) = part_bars({"Captioned: train": 6091, "Labelled: evaluation": 2200}).data

    assert list(bars.x) == [6091, 2200]
    assert list(bars.customdata) == ["Captioned: train", "Labelled: evaluation"]
    assert list(bars.text) == ["6,091", "2,200"]


def test_mentions_are_ordered_by_number_and_then_by_name():
    (bars,) = mention_bars({"chess": 2, "wwe": 7, "boxing": 2}).data

    assert list(bars.x) == [7, 2, 2]
    assert list(bars.customdata) == ["wwe", "boxing", "chess"]


def test_captions_that_mention_nothing_still_make_a_figure():
    (bars,) = mention_bars({"chess": 0}).data

    assert list(bars.x) == [0]
