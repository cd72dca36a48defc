import math

import pandas as pd
import pytest

from sports_clip_pipeline.fewshot.base import METHODS, MethodSpec
from sports_clip_pipeline.pipelines.report.config import ReportConfig
from sports_clip_pipeline.report import method_styles as styles
from sports_clip_pipeline.report.figures import COLORS, MARKERS

# `few` leads with few labels, `many` with many, `even` by most on average.
TRIALS = pd.DataFrame(
    [
        ("few", 0.1, 0.70), ("few", 1.0, 0.60),
        ("many", 0.1, 0.40), ("many", 1.0, 0.90),
        ("even", 0.1, 0.69), ("even", 1.0, 0.89),
        ("base", 0.1, 0.30), ("base", 1.0, 0.50),
    ],
    columns=["method", "fraction", "cv_top1"],
)  # fmt: skip
NAMES = ("base", "even", "few", "many")


@pytest.mark.parametrize(
    ("methods", "baselines", "most", "expected"),
    [
        (NAMES, (), 3, ("few", "many", "even")),
        (NAMES, ("base", "absent"), 1, ("few", "base")),
        (NAMES, ("few",), 2, ("few", "many")),
        (("base", "many"), (), 4, ("many", "base")),
    ],
)
def test_the_best_at_both_ends_come_first_then_the_largest_lead(methods, baselines, most, expected):
    assert styles.highlighted_methods(TRIALS, methods, baselines, most) == expected


def test_without_scores_methods_are_in_alphabetical_order():
    trials = TRIALS.assign(cv_top1=math.nan)
    assert styles.highlighted_methods(trials, NAMES, (), 2) == ("base", "even")


def test_a_fraction_that_a_method_lacks_is_no_handicap():
    new = pd.DataFrame([{"method": "new", "fraction": 1.0, "cv_top1": 0.95}])
    shown = styles.highlighted_methods(pd.concat([TRIALS, new]), (*NAMES, "new"), (), 3)
    assert shown == ("few", "new", "even")


def make_styles(end_to_end: tuple[str, ...] = (), **config) -> styles.MethodStyles:
    curves, more = (pd.DataFrame({"method": names}) for names in (NAMES, end_to_end))
    return styles.method_styles(curves, TRIALS, more, ReportConfig(study="s", **config))


def test_highlighted_methods_are_drawn_first_then_by_score_then_end_to_end():
    found = make_styles(("full", "full"), highlighted=1, baselines=["base"])
    assert found.methods == ("few", "base", "even", "many", "full")
    assert found.shown == ("few", "base", "full")
    assert found.trace("even")["visible"] == "legendonly"
    assert found.trace("full")["meta"] == styles.END_TO_END


def test_end_to_end_methods_change_no_colour_of_the_others():
    one, other = make_styles(), make_styles(("full",))
    assert [one.color(name) for name in NAMES] == [other.color(name) for name in NAMES]


def test_a_method_of_the_style_table_has_its_colour_and_symbol_in_every_study():
    for method, (color, symbol) in styles.METHOD_STYLES.items():
        for others in ((), ("a", "b", "c")):
            marker = styles.MethodStyles((*others, method)).marker(method)
            assert (marker["color"], marker["symbol"]) == (COLORS[color][0], symbol)


def test_forty_methods_have_forty_combinations_of_colour_and_symbol():
    methods = [*(f"m{n}" for n in range(38)), *styles.METHOD_STYLES]
    found = styles.MethodStyles(methods)
    looks = {(found.color(name), found.marker(name)["symbol"]) for name in methods}
    assert len(looks) == 40
    assert len({found.color(name) for name in methods[:6]}) == 6
    assert len(MARKERS) == len(COLORS)


@pytest.mark.parametrize("unlabelled", [True, False])
def test_semi_supervised_methods_are_dashed_and_named(monkeypatch, unlabelled):
    monkeypatch.setitem(METHODS, "even", MethodSpec("even", "first_encoder", "even", unlabelled))
    found = make_styles()
    assert found.name("even") == ("even, with unlabelled images" if unlabelled else "even")
    assert found.line("even")["dash"] == ("dash" if unlabelled else "solid")


def test_a_name_cannot_bring_markup_into_a_figure():
    assert styles.MethodStyles(("a",), {"a": "<b>A</b>"}).name("a") == "&lt;b&gt;A&lt;/b&gt;"
