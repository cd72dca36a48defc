from __future__ import annotations

import math

import pandas as pd
import pytest

from sports_clip_pipeline.reporting.figures.learning import learning_curve

CURVES = pd.DataFrame(
    {
        "method": ["a", "a", "b"],
        "fraction": [1.0, 0.1, 1.0],
        "labels": [50, 5, 50],
        "top1_mean": [0.8, 0.6, 0.7],
        "top1_low": [0.75, 0.5, 0.6],
        "top1_high": [0.85, 0.7, 0.8],
    }
)
ZERO_SHOT = {"top1": 0.4, "chance": 0.25}


def draw():
    return learning_curve(CURVES, ZERO_SHOT, {"a": "First"})


def test_each_method_has_a_line_through_its_means_by_growing_fraction():
    line = draw().data[1]

    assert line.name == "First"
    assert list(line.x) == [0.1, 1.0]
    assert list(line.y) == [0.6, 0.8]


def test_the_band_goes_up_along_the_high_ends_and_back_along_the_low_ones():
    band = draw().data[0]

    assert list(band.x) == [0.1, 1.0, 1.0, 0.1]
    assert list(band.y) == [0.7, 0.85, 0.75, 0.5]


def test_zero_shot_and_chance_are_level_lines_over_all_fractions():
    *_, zero_shot, chance = draw().data

    assert (list(zero_shot.x), list(zero_shot.y)) == ([0.1, 1.0], [0.4, 0.4])
    assert (list(chance.x), list(chance.y)) == ([0.1, 1.0], [0.25, 0.25])


def test_the_axis_is_logarithmic_and_says_how_many_photographs_a_fraction_is():
    axis = draw().layout.xaxis

    assert axis.type == "log"
    assert list(axis.tickvals) == [0.1, 1.0]
    assert list(axis.ticktext) == ["10\u00a0%<br>5", "100\u00a0%<br>50"]
    assert axis.range[0] < math.log10(0.1) and axis.range[1] > 0


def test_a_method_without_a_name_of_its_own_keeps_the_raw_one():
    assert draw().data[3].name == "b"


def test_hovering_tells_the_number_and_its_interval():
    words = draw().data[1].customdata[0]

    assert words[0] == "10\u00a0% of the labels (5)"
    assert words[1] == "60.0\u00a0%, 95 % interval 50.0–70.0"


def test_one_fraction_is_enough():
    figure = learning_curve(CURVES[CURVES["fraction"] == 1.0], ZERO_SHOT, {})

    low, high = figure.layout.xaxis.range
    assert low == pytest.approx(-high) and high > 0


def test_a_name_cannot_bring_markup_into_the_figure():
    figure = learning_curve(CURVES, ZERO_SHOT, {"a": "<b>bold</b>"})

    assert figure.data[1].name == "&lt;b&gt;bold&lt;/b&gt;"
