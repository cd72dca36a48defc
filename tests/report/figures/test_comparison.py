from __future__ import annotations

import pandas as pd
import pytest

from sports_clip_pipeline.report.figures.cast import Cast
from sports_clip_pipeline.report.figures.comparison import p_value, paired_lines

CURVES = pd.DataFrame({"fraction": [0.1, 1.0], "labels": [5, 50]})
PAIRED = pd.DataFrame(
    [
        (0.1, "b", "a", "best", -0.02, -0.03, -0.005, 0.01, True),
        (1.0, "a", "b", "best", -0.01, -0.02, 0.01, 0.4, False),
        (0.1, "b", "zero_shot", "zero_shot", 0.3, 0.2, 0.4, 0.001, True),
    ],
    columns=["fraction", "method", "against", "role", "difference", "low", "high", "p_holm",
             "distinguishable"],
)  # fmt: skip
CAST = Cast(("a", "b"), first=("a",))


def test_differences_are_in_points_and_the_best_is_level_with_itself():
    a, b, zero = paired_lines(PAIRED, CURVES, CAST).data

    assert list(a.y) == pytest.approx([0.0, -1.0])
    assert list(b.y) == pytest.approx([-2.0, 0.0])
    assert list(zero.y) == [0, 0]


def test_whiskers_reach_the_ends_of_the_interval():
    _, b, _ = paired_lines(PAIRED, CURVES, CAST).data

    assert b.error_y.array[0] == pytest.approx(1.5)
    assert b.error_y.arrayminus[0] == pytest.approx(1.0)


def test_points_are_filled_where_the_difference_is_told_apart():
    _, b, _ = paired_lines(PAIRED, CURVES, CAST).data

    assert list(b.marker.symbol) == ["square", "square-open"]


def test_hovering_names_the_opponent_and_the_corrected_p():
    a, b, _ = paired_lines(PAIRED, CURVES, CAST).data

    assert "against a" in b.customdata[0] and "p 0.01 after Holm" in b.customdata[0]
    assert a.customdata[0].endswith("the best by validation")


def test_without_comparisons_there_are_no_traces():
    assert not paired_lines(pd.DataFrame(), CURVES, CAST).data
    assert not paired_lines(PAIRED[PAIRED["role"] == "zero_shot"], CURVES, CAST).data


@pytest.mark.parametrize(("p", "words"), [(0.00012, "< 0.001"), (0.0432, "0.043"), (1.0, "1")])
def test_p_values_have_two_digits(p, words):
    assert p_value(p) == words
