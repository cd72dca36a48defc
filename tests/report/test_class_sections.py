from types import SimpleNamespace

import pandas as pd
import pytest

from sports_clip_pipeline.report import class_sections as sections
from sports_clip_pipeline.report.method_styles import MethodStyles
from tests.report.factories import make_small_study, make_study

BEFORE = {"ice_hockey": {"f1": 0.5, "support": 4}, "chess": {"f1": 0.25, "support": 2}}
AFTER = {"ice_hockey": {"f1": 0.6, "support": 4}, "chess": {"f1": 0.9, "support": 2}}
GAINS = pd.DataFrame(
    [("a", 0.0, 0.5), ("a", 1.0, 0.6), ("b_c", 0.0, 0.1), ("b_c", 1.0, 0.9)],
    columns=["label", "fraction", "recall"],
)
BINS = pd.DataFrame(
    [
        ("a", 0.1, 0.9, 0.8, 20), ("a", 0.1, 0.3, 0.2, 20),
        ("a", 0.5, 0.9, 0.7, 20), ("a", 1.0, 0.9, 0.9, 20),
        ("zero_shot", 0.0, 0.5, 0.4, 40),
    ],
    columns=["method", "fraction", "confidence", "accuracy", "images"],
)  # fmt: skip


def test_rows_of_the_confusion_map_are_shares_of_the_true_class():
    figure = sections.confusion_figure(["ice_hockey", "b", "c"], [[3, 1, 0], [0, 2, 0], [0, 0, 0]])
    heat = figure.data[0]
    assert [list(row) for row in heat.z] == [[0.75, 0.25, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]
    assert heat.customdata[0][1] == "ice hockey predicted as b<br>1 of 4 (25.0\u00a0%)"
    assert figure.layout.yaxis.autorange == "reversed"
    assert list(figure.layout.xaxis.ticktext) == ["ice hockey", "b", "c"]


def test_classes_are_ordered_by_the_f1_after_fine_tuning():
    lines, before, after = sections.per_class_figure(BEFORE, AFTER).data
    assert list(after.x) == [0.6, 0.9]
    assert list(before.x) == [0.5, 0.25]
    assert list(after.y) == [0, 1]
    assert list(lines.x) == [0.5, 0.6, None, 0.25, 0.9, None]


def test_two_labels_of_one_name_stay_two_rows():
    twins = {"a_b": {"f1": 0.5, "support": 1}, "a b": {"f1": 0.6, "support": 1}}
    axis = sections.per_class_figure(twins, twins).layout.yaxis
    assert (list(axis.tickvals), list(axis.ticktext)) == ([0, 1], ["a b", "a b"])


def test_the_gain_of_a_class_has_a_sign():
    scores = {"a": {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 4}}
    worse = {"a": {"precision": 0.4, "recall": 0.4, "f1": 0.4, "support": 4}}
    study = make_small_study(
        zero_shot_metrics={"per_class": scores}, finetune_metrics={"per_class": worse}
    )
    (row,) = sections.per_class(study).folded[0].rows
    assert row[0] == "a" and row[-1] == "−10.0"


def test_test_images_are_counted_by_what_fine_tuning_changed():
    # Of 600: wrong before and right after are the 300 odd ones; every tenth, an even one, breaks.
    sentence = sections.changed_predictions(make_small_study())
    assert "right on 300 test images that zero-shot got wrong" in sentence
    assert "wrong on 60 that zero-shot got right" in sentence
    assert "both are wrong on 0" in sentence


def test_the_class_that_gained_most_is_on_top():
    figure = sections.class_gains_figure(sections.recall_by_fraction(GAINS))
    (heat,) = figure.data
    assert list(figure.layout.yaxis.ticktext) == ["b c", "a"]
    assert list(figure.layout.xaxis.ticktext) == ["none", "100"]
    assert [list(row) for row in heat.text] == [["10", "90"], ["50", "60"]]
    assert heat.customdata[0][0] == "b c, none of the labels<br>10.0\u00a0% of its images"
    text = sections.class_gains(make_small_study(class_gains=GAINS)).text
    assert "that of b c (+80.0 points)" in text and "that of a (+10.0)" in text


def reliability_figure(bins):
    styles = MethodStyles(("a",), shown=("a",))
    return sections.reliability_figure(SimpleNamespace(reliability=bins, styles=styles))


def test_reliability_has_a_panel_for_the_fewest_and_for_the_most_labels():
    figure = reliability_figure(BINS)
    lines = [trace for trace in figure.data if trace.legendgroup == "a"]
    assert [list(line.x) for line in lines] == [[0.3, 0.9], [0.9]]
    assert [line.xaxis for line in lines] == ["x", "x2"]
    assert [line.showlegend for line in lines] == [True, False]
    assert [trace.name for trace in figure.data].count("Zero-shot") == 2


@pytest.mark.parametrize(("fraction", "panels"), [(1.0, 1), (0.0, 0)])
def test_one_fraction_makes_one_panel_and_zero_shot_alone_none(fraction, panels):
    figure = reliability_figure(BINS[BINS["fraction"] == fraction])
    assert len({trace.xaxis for trace in figure.data}) == panels


def test_the_calibration_table_ends_with_zero_shot():
    section = sections.reliability(make_study())
    table = section.folded[0]
    assert list(table.heads)[2:] == [
        "Top-1", "Mean confidence", "Calibration error, equal width",
        "Calibration error, equal mass", "Brier score",
    ]  # fmt: skip
    assert table.rows[-1][:2] == ("Zero-shot", "none")
    assert section.text.endswith("is 3.0 points.")


def test_the_most_confused_pairs_are_as_many_as_configured():
    study = make_study()
    (table,) = sections.confusion_pairs(study).tables
    assert table.rows[0][:3] == ("boxing", "chess", "20")
    assert len(table.rows) == min(len(study.confusion_pairs), study.config.confused_pairs)
