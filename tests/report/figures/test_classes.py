from __future__ import annotations

import pytest

from sports_clip_pipeline.report.figures.classes import confusion_map, per_class_dumbbells

SCORES = {"ice_hockey": {"f1": 0.5, "support": 4}, "chess": {"f1": 0.25, "support": 2}}
BETTER = {"ice_hockey": {"f1": 0.6, "support": 4}, "chess": {"f1": 0.9, "support": 2}}


def test_rows_of_the_confusion_map_are_shares_of_the_true_class():
    heat = confusion_map(["a", "b"], [[3, 1], [0, 2]]).data[0]

    assert [list(row) for row in heat.z] == [[0.75, 0.25], [0.0, 1.0]]
    assert heat.customdata[0][1] == "a named as b<br>1 of 4 (25.0\u00a0%)"
    assert (heat.zmin, heat.zmax) == (0, 1)


def test_a_class_without_photographs_gives_a_row_of_zeros():
    heat = confusion_map(["a", "b"], [[0, 0], [0, 2]]).data[0]

    assert list(heat.z[0]) == [0.0, 0.0]


def test_the_first_class_is_on_top_and_first_on_the_left():
    layout = confusion_map(["ice_hockey", "b"], [[1, 0], [0, 1]]).layout

    assert layout.yaxis.autorange == "reversed"
    assert list(layout.xaxis.ticktext) == ["ice hockey", "b"]


@pytest.mark.parametrize("confusion", [[[1]], [[1, 2], [3]]])
def test_counts_of_another_size_are_refused(confusion):
    with pytest.raises(ValueError, match="2 classes"):
        confusion_map(["a", "b"], confusion)


def test_classes_are_ordered_by_what_fine_tuning_reached():
    joins, before, after = per_class_dumbbells(SCORES, BETTER).data

    assert list(after.x) == [0.6, 0.9]
    assert list(before.x) == [0.5, 0.25]
    assert list(after.y) == [0, 1]
    assert list(joins.x) == [0.5, 0.6, None, 0.25, 0.9, None]


def test_two_labels_that_look_alike_stay_two_rows():
    twins = {"a_b": {"f1": 0.5, "support": 1}, "a b": {"f1": 0.6, "support": 1}}

    figure = per_class_dumbbells(twins, twins)

    assert list(figure.layout.yaxis.tickvals) == [0, 1]
    assert list(figure.layout.yaxis.ticktext) == ["a b", "a b"]
