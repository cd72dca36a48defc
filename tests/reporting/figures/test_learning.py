from __future__ import annotations

import math

import pandas as pd
import pytest

from sports_clip_pipeline.pipelines.report.config import Reference
from sports_clip_pipeline.reporting.figures.cast import PIXELS as THROUGH
from sports_clip_pipeline.reporting.figures.cast import UNLABELLED, Cast
from sports_clip_pipeline.reporting.figures.fractions import place_without_labels
from sports_clip_pipeline.reporting.figures.learning import learning_curve

CURVES = pd.DataFrame(
    {
        "method": ["a", "a", "b"],
        "fraction": [1.0, 0.1, 1.0],
        "labels": [50, 5, 50],
        "seeds": [[0], [0, 1, 2], [0]],
        "top1_mean": [0.8, 0.6, 0.7],
        "top1_low": [0.75, 0.5, 0.6],
        "top1_high": [0.85, 0.7, 0.8],
    }
)
ZERO_SHOT = {"top1": 0.4, "chance": 0.25}


CAST = Cast(("a", "b"), {"a": "First"}, first=("a",))
PIXELS = CURVES[CURVES["method"] == "b"].assign(method="c")


def draw(cast=CAST, **more):
    return learning_curve(CURVES, ZERO_SHOT, cast, **more)


def test_each_method_has_a_line_through_its_means_by_growing_fraction():
    line = draw().data[1]

    assert line.name == "First"
    assert list(line.x) == [0.1, 1.0]
    assert list(line.y) == [0.6, 0.8]


def test_the_band_goes_up_along_the_high_ends_and_back_along_the_low_ones():
    band = draw().data[0]

    assert list(band.x) == [0.1, 1.0, 1.0, 0.1]
    assert list(band.y) == [0.7, 0.85, 0.75, 0.5]


def test_zero_shot_and_chance_are_level_lines_from_no_labels_to_all():
    *_, zero_shot, chance = draw().data

    ends = [place_without_labels(CURVES), 1.0]
    assert (list(zero_shot.x), list(zero_shot.y)) == (ends, [0.4, 0.4])
    assert (list(chance.x), list(chance.y)) == (ends, [0.25, 0.25])


def test_the_axis_is_logarithmic_and_says_how_many_photographs_a_fraction_is():
    axis = draw().layout.xaxis

    assert axis.type == "log"
    none = place_without_labels(CURVES)
    assert none < 0.1
    assert list(axis.tickvals) == [none, 0.1, 1.0]
    assert list(axis.ticktext) == ["none<br>0", "10\u00a0%<br>5", "100\u00a0%<br>50"]
    assert axis.range[0] < math.log10(none) and axis.range[1] > 0


def test_a_method_without_a_name_of_its_own_keeps_the_raw_one():
    assert draw().data[3].name == "b"


def test_hovering_tells_the_number_and_its_interval():
    words = draw().data[1].customdata[0]

    assert words[0] == "10\u00a0% of the labels (5)"
    assert words[1] == "60.0\u00a0%, 95 % interval 50.0–70.0"
    assert words[2] == "mean of 3 subsets of the labels"
    assert draw().data[1].customdata[1][2] == "one subset of the labels"


def test_one_fraction_is_enough():
    figure = learning_curve(CURVES[CURVES["fraction"] == 1.0], ZERO_SHOT, CAST)

    low, high = figure.layout.xaxis.range
    assert low < math.log10(1 / 2.2) and high == pytest.approx(0.04)


def test_a_name_cannot_bring_markup_into_the_figure():
    figure = draw(Cast(("a", "b"), {"a": "<b>bold</b>"}))

    assert figure.data[1].name == "&lt;b&gt;bold&lt;/b&gt;"


def test_only_the_first_methods_are_shown_and_the_others_wait_in_the_legend():
    visible = {trace.legendgroup: trace.visible for trace in draw().data}

    assert visible["a"] is True
    assert visible["b"] == "legendonly"


def test_methods_that_learn_from_unlabelled_photographs_are_dashed():
    line = draw(Cast(("a", "b"), unlabelled=("a",))).data[1]

    assert line.line.dash == "dash"
    assert line.meta == UNLABELLED
    assert draw().data[1].line.dash == "solid"


def test_methods_through_the_tower_are_hollow_points_with_whiskers():
    cast = Cast(("a", "b", "c"), first=("a", "c"))
    points = next(trace for trace in draw(cast, pixels=PIXELS).data if trace.legendgroup == "c")

    assert points.mode == "markers"
    assert points.marker.symbol.endswith("-open")
    assert points.meta == THROUGH
    assert list(points.error_y.array) == pytest.approx([0.1])
    assert list(points.error_y.arrayminus) == pytest.approx([0.1])


def test_published_numbers_stand_at_the_share_of_labels_that_they_used():
    reference = [
        Reference(measure="zero_shot_top1", label="Notebook", value=0.35, note="n"),
        Reference(measure="all_labels_top1", label="Notebook", value=0.895, note="n"),
        Reference(measure="retrieval_r5", label="Notebook", value=0.5, note="n"),
    ]
    stars = draw(reference=reference).data[-1]

    assert stars.name == "Notebook"
    assert list(stars.x) == [place_without_labels(CURVES), 1.0]
    assert list(stars.y) == [0.35, 0.895]
