from __future__ import annotations

import math

import pandas as pd
import pytest

from sports_clip_pipeline.config.methods import METHODS, MethodSpec
from sports_clip_pipeline.pipelines.report.config import ReportConfig
from sports_clip_pipeline.reporting.highlights import compose_cast, highlights

# `few` leads with few labels, `many` with many, `even` by most on average.
ARMS = pd.DataFrame(
    [
        ("few", 0.1, 0.70), ("few", 1.0, 0.60),
        ("many", 0.1, 0.40), ("many", 1.0, 0.90),
        ("even", 0.1, 0.69), ("even", 1.0, 0.89),
        ("base", 0.1, 0.30), ("base", 1.0, 0.50),
    ],
    columns=["method", "fraction", "cv_top1"],
)  # fmt: skip
METHOD_NAMES = ("base", "even", "few", "many")


def test_the_best_at_both_ends_come_first_then_the_largest_lead():
    assert highlights(ARMS, METHOD_NAMES, (), 3) == ("few", "many", "even")


def test_baselines_follow_whatever_their_score():
    assert highlights(ARMS, METHOD_NAMES, ("base", "absent"), 1) == ("few", "base")


def test_a_baseline_that_is_among_the_best_stands_once():
    assert highlights(ARMS, METHOD_NAMES, ("few",), 2) == ("few", "many")


def test_methods_that_are_not_drawn_are_passed_over():
    assert highlights(ARMS, ("base", "many"), (), 4) == ("many", "base")


def test_without_scores_names_decide():
    arms = ARMS.assign(cv_top1=math.nan)

    assert highlights(arms, METHOD_NAMES, (), 2) == ("base", "even")


def test_a_fraction_that_a_method_lacks_is_no_handicap():
    arms = pd.concat([ARMS, pd.DataFrame([{"method": "new", "fraction": 1.0, "cv_top1": 0.95}])])

    assert highlights(arms, (*METHOD_NAMES, "new"), (), 3) == ("few", "new", "even")


def curves(*methods):
    return pd.DataFrame({"method": methods})


def test_the_cast_draws_highlights_first_then_by_score_then_through_the_tower():
    config = ReportConfig(study="s", highlighted=1, baselines=["base"])
    cast = compose_cast(curves(*METHOD_NAMES), ARMS, config, curves("full", "full"))

    assert cast.methods == ("few", "base", "even", "many", "full")
    assert cast.first == ("few", "base", "full")


def test_pixel_methods_change_no_colour_of_the_others():
    config = ReportConfig(study="s")
    one, other = (compose_cast(curves(*METHOD_NAMES), ARMS, config, p) for p in (None, curves("f")))

    assert [one.tone(m) for m in METHOD_NAMES] == [other.tone(m) for m in METHOD_NAMES]


@pytest.mark.parametrize("unlabelled", [True, False])
def test_methods_with_unlabelled_photographs_are_told_and_named(monkeypatch, unlabelled):
    monkeypatch.setitem(METHODS, "even", MethodSpec("even", "tower", unlabelled=unlabelled))
    cast = compose_cast(curves(*METHOD_NAMES), ARMS, ReportConfig(study="s"))

    assert cast.unlabelled == (("even",) if unlabelled else ())
    assert cast.called("even") == ("even, with unlabelled photographs" if unlabelled else "even")
