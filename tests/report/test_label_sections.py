import math
from types import SimpleNamespace

import pandas as pd
import pytest

from sports_clip_pipeline.pipelines.report.config import Reference
from sports_clip_pipeline.report import label_sections as sections
from sports_clip_pipeline.report.figures import zero_label_position
from sports_clip_pipeline.report.method_styles import MethodStyles
from tests.report.factories import make_small_study, make_study

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
STYLES = MethodStyles(("a", "b"), {"a": "First"}, shown=("a",))
PAIRED = pd.DataFrame(
    [
        (0.1, "b", "a", "best", -0.02, -0.03, -0.005, 0.01, True),
        (1.0, "a", "b", "best", -0.01, -0.02, 0.01, 0.4, False),
        (0.1, "b", "zero_shot", "zero_shot", 0.3, 0.2, 0.4, 0.001, True),
    ],
    columns=["fraction", "method", "against", "role", "difference", "low", "high", "p_holm",
             "distinguishable"],
)  # fmt: skip
COST = pd.DataFrame(
    [
        ("small", 3, 5.0, "a", 0.6, 0.7),
        ("small", 3, 5.0, "b", 0.65, 0.71),
        ("large", 9, 20.0, "a", 0.7, 0.8),
        ("unknown", 3, math.nan, "a", 0.5, 0.6),
    ],
    columns=["encoders", "parameters", "ms_per_image", "method", "top1_0.01", "top1_1"],
)


def study_of(paired=PAIRED, styles=STYLES, end_to_end=CURVES[:0], reference=()):
    return SimpleNamespace(
        finetune_curves=CURVES,
        end_to_end_curves=end_to_end,
        zero_shot_metrics={"top1": 0.4, "chance": 0.25},
        styles=styles,
        config=SimpleNamespace(reference=reference),
        paired_comparisons=paired,
    )


def draw(**changes):
    return sections.learning_curve_figure(study_of(**changes))


def test_each_method_has_a_band_and_a_line_by_growing_fraction():
    band, line = draw().data[:2]
    assert (line.name, list(line.x), list(line.y)) == ("First", [0.1, 1.0], [0.6, 0.8])
    assert list(band.x) == [0.1, 1.0, 1.0, 0.1]
    assert list(band.y) == [0.7, 0.85, 0.75, 0.5]


def test_zero_shot_and_chance_are_level_lines_from_no_labels_to_all():
    *_, zero_shot, chance = draw().data
    ends = [zero_label_position(CURVES), 1.0]
    assert (list(zero_shot.x), list(zero_shot.y)) == (ends, [0.4, 0.4])
    assert (list(chance.x), list(chance.y)) == (ends, [0.25, 0.25])


def test_the_axis_is_logarithmic_and_says_how_many_images_a_fraction_is():
    axis = draw().layout.xaxis
    assert axis.type == "log" and zero_label_position(CURVES) < 0.1
    assert list(axis.tickvals) == [zero_label_position(CURVES), 0.1, 1.0]
    assert list(axis.ticktext) == ["none<br>0", "10\u00a0%<br>5", "100\u00a0%<br>50"]


def test_hovering_tells_the_number_its_interval_and_the_seeds():
    hover = draw().data[1].customdata
    assert hover[0] == (
        "10\u00a0% of the labels (5)<br>60.0\u00a0%, 95 % interval 50.0–70.0<br>"
        "mean of 3 subsets of the labels"
    )
    assert hover[1].endswith("one subset of the labels")


def test_end_to_end_methods_are_hollow_points_with_error_bars():
    styles = MethodStyles(("a", "b", "c"), shown=("a", "c"), end_to_end=("c",))
    rows = CURVES[CURVES["method"] == "b"].assign(method="c")
    points = next(t for t in draw(styles=styles, end_to_end=rows).data if t.legendgroup == "c")
    assert points.mode == "markers" and points.marker.symbol.endswith("-open")
    assert list(points.error_y.array) == pytest.approx([0.1])
    assert list(points.error_y.arrayminus) == pytest.approx([0.1])


def test_published_numbers_are_at_the_share_of_labels_that_they_used():
    rows = [("zero_shot_top1", 0.35), ("all_labels_top1", 0.895), ("retrieval_r5", 0.5)]
    reference = [Reference(measure=m, label="Notebook", value=v, note="n") for m, v in rows]
    stars = draw(reference=reference).data[-1]
    assert (stars.name, list(stars.y)) == ("Notebook", [0.35, 0.895])
    assert list(stars.x) == [zero_label_position(CURVES), 1.0]


def needed(kind, labels, low, high):
    return {"kind": kind, "labels": labels, "low": low, "high": high}


@pytest.mark.parametrize(
    ("row", "cell"),
    [
        (needed("interpolated", 412.0, 350.0, 1520.0), ("412", "350–1,520")),
        (
            needed("extrapolated", 9800.0, 7000.0, math.inf),
            ("≈ 9,800", "extrapolated, 7,000 or more"),
        ),
        (needed("out of reach", math.inf, 9000.0, math.inf), ("out of reach", "9,000 or more")),
        (needed("out of reach", math.inf, math.inf, math.inf), ("out of reach", "")),
        (needed("measured below", 88.0, 88.0, 90.0), ("≤ 88", "fewest measured")),
        (None, "–"),
    ],
)
def test_labels_needed_say_how_they_are_known(row, cell):
    assert sections.needed_cell(row) == cell


def test_only_highlighted_methods_have_a_row_of_labels_needed_and_all_are_in_the_fold():
    study = make_study()
    section = sections.labels_needed(study)
    # The two end-to-end methods are shown, but have no labels needed.
    assert len(section.tables[0].rows) == len(study.styles.shown) - 2
    assert len(section.folded[0].rows) == len(study.labels_needed)


def test_paired_differences_are_in_points_and_the_best_is_at_zero():
    a, b, zero = sections.paired_figure(study_of()).data
    assert list(a.y) == pytest.approx([0.0, -1.0])
    assert list(b.y) == pytest.approx([-2.0, 0.0])
    assert list(zero.y) == [0, 0]
    assert b.error_y.array[0] == pytest.approx(1.5)
    assert b.error_y.arrayminus[0] == pytest.approx(1.0)
    assert list(b.marker.symbol) == ["square", "square-open"]
    assert "against First" in b.customdata[0] and "p 0.01 after Holm" in b.customdata[0]
    assert a.customdata[0].endswith("the best by cross-validation")


def test_without_comparisons_to_the_best_there_are_no_traces():
    rows = PAIRED[PAIRED["role"] == "zero_shot"]
    assert not sections.paired_figure(study_of(rows)).data


def test_encoders_are_drawn_once_with_the_first_method_of_the_styles_cheapest_first():
    figure = sections.inference_cost_figure(COST, MethodStyles(("b", "a"), {"b": "Best"}))
    assert [note.text for note in figure.layout.annotations] == [
        "small, 5 ms per image: Best",
        "large, 20 ms per image: a",
        "unknown, time not measured: a",
    ]
    assert [list(trace.x) for trace in figure.data] == [[0.65, 0.7, 0.5], [0.71, 0.8, 0.6]]


def test_the_cost_table_is_in_order_of_time_and_an_unknown_time_is_a_dash():
    table = sections.inference_cost(make_small_study(inference_cost=COST[::-1])).folded[0]
    assert [row[0] for row in table.rows] == ["small", "small", "large", "unknown"]
    assert table.rows[-1][2:] == ("0.0 M", "–", "50.0\u00a0%", "60.0\u00a0%")
