from __future__ import annotations

import math

import pandas as pd
import pytest

from sports_clip_pipeline.report.figures.cast import Cast
from sports_clip_pipeline.report.figures.dots import Dots, dot_rows
from sports_clip_pipeline.report.figures.gains import gains_map, recall_by_fraction
from sports_clip_pipeline.report.figures.judged import (
    ablation_dots,
    by_price,
    few_of,
    price_dots,
)
from sports_clip_pipeline.report.figures.reliability import end_fractions, reliability_panels

GAINS = pd.DataFrame(
    [("a", 0.0, 0.5), ("a", 1.0, 0.6), ("b_c", 0.0, 0.1), ("b_c", 1.0, 0.9)],
    columns=["label", "fraction", "recall"],
)
PRICE = pd.DataFrame(
    [
        ("large", 9, 20.0, "a", 0.7, 0.8),
        ("small", 3, 5.0, "a", 0.6, 0.7),
        ("small", 3, 5.0, "b", 0.65, 0.71),
        ("unknown", 3, math.nan, "a", 0.5, 0.6),
    ],
    columns=["towers", "parameters", "ms_per_photograph", "method", "top1_0.01", "top1_1"],
)
BINS = pd.DataFrame(
    [
        ("a", 0.1, 0.9, 0.8, 20), ("a", 0.1, 0.3, 0.2, 20),
        ("a", 0.5, 0.9, 0.7, 20), ("a", 1.0, 0.9, 0.9, 20),
        ("zero_shot", 0.0, 0.5, 0.4, 40),
    ],
    columns=["method", "fraction", "confidence", "accuracy", "photographs"],
)  # fmt: skip


def test_the_class_that_gained_most_is_on_top():
    assert list(recall_by_fraction(GAINS).index) == ["b_c", "a"]


def test_squares_show_recall_in_percent_from_no_labels_to_all():
    (heat,) = gains_map(GAINS).data

    assert [list(row) for row in heat.text] == [["10", "90"], ["50", "60"]]
    assert heat.customdata[0][0] == "b c, none of the labels<br>10.0\u00a0% of its photographs"


def test_the_columns_say_the_share_in_percent():
    assert list(gains_map(GAINS).layout.xaxis.ticktext) == ["none", "100"]


def test_cheap_towers_come_first_and_unknown_times_last():
    assert list(by_price(PRICE)["towers"]) == ["small", "small", "large", "unknown"]


def test_towers_stand_once_with_the_method_that_stands_first_in_the_cast():
    figure = price_dots(PRICE, Cast(("b", "a"), {"b": "Best"}))

    titles = [note.text for note in figure.layout.annotations]
    assert titles == [
        "small, 5 ms a photograph: Best",
        "large, 20 ms a photograph: a",
        "unknown, time not measured: a",
    ]
    assert [list(trace.x) for trace in figure.data] == [[0.65, 0.7, 0.5], [0.71, 0.8, 0.6]]


def test_three_of_many_fractions_are_drawn():
    assert few_of([0.01, 0.02, 0.05, 0.1, 1.0]) == [0.01, 0.05, 1.0]
    assert few_of([0.1, 1.0]) == [0.1, 1.0]


def test_variants_keep_their_order_and_show_number_and_interval():
    ablation = pd.DataFrame(
        {"name": ["one", "two"], "top1": [0.5, 0.4], "low": [0.48, 0.37], "high": [0.52, 0.43]}
    )
    figure = ablation_dots(ablation)

    (dots,) = figure.data
    assert list(dots.x) == [0.5, 0.4] and dots.y[0] < dots.y[1]
    assert list(dots.error_x.arrayminus) == pytest.approx([0.02, 0.03])
    assert [note.text for note in figure.layout.annotations] == [
        "One", "Two", "50.0\u00a0%", "40.0\u00a0%"
    ]  # fmt: skip


def test_a_long_title_takes_several_lines_and_makes_room():
    short, long = (dot_rows([words], [Dots("x", [0.5], ["w"])]) for words in ("a", "word " * 20))

    assert "<br>" in long.layout.annotations[0].text
    assert long.layout.height > short.layout.height


def test_the_axis_of_shares_stays_inside_zero_and_one():
    axis = dot_rows(["a", "b"], [Dots("x", [0.0, 1.0], ["", ""])]).layout.xaxis

    assert axis.range[0] >= -0.02 and axis.range[1] <= 1.02
    assert axis.ticktext[0] == "0 %" and axis.ticktext[-1] == "100 %"


def test_reliability_has_a_panel_for_the_fewest_and_for_the_most_labels():
    figure = reliability_panels(BINS, Cast(("a",), first=("a",)))

    assert end_fractions(BINS) == [0.1, 1.0]
    lines = [trace for trace in figure.data if trace.legendgroup == "a"]
    assert [list(line.x) for line in lines] == [[0.3, 0.9], [0.9]]
    assert [line.showlegend for line in lines] == [True, False]
    assert [trace.name for trace in figure.data].count("Zero-shot") == 2


def test_one_fraction_makes_one_panel():
    figure = reliability_panels(BINS[BINS["fraction"] == 1.0], Cast(("a",)))

    assert "xaxis2" not in figure.to_plotly_json()["layout"]


@pytest.mark.parametrize(
    "drawn",
    [
        gains_map(pd.DataFrame()),
        ablation_dots(pd.DataFrame()),
        price_dots(pd.DataFrame(), Cast(())),
        reliability_panels(pd.DataFrame(), Cast(())),
    ],
)
def test_nothing_measured_draws_nothing(drawn):
    assert not drawn.data
