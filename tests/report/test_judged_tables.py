from __future__ import annotations

import math

import pandas as pd
import pytest

from sports_clip_pipeline.report import judged_tables as tables
from sports_clip_pipeline.report.blocks import Cell
from tests.report.judged_study import make_calibration, make_needed, make_paired
from tests.report.study import make_curves


def row(kind, labels, low, high):
    return {"kind": kind, "labels": labels, "low": low, "high": high}


@pytest.mark.parametrize(
    ("given", "cell"),
    [
        (row("interpolated", 412.0, 350.0, 1520.0), Cell("412", "350–1,520")),
        (
            row("extrapolated", 9800.0, 7000.0, math.inf),
            Cell("≈ 9,800", "extrapolated, 7,000 or more"),
        ),
        (row("out of reach", math.inf, 9000.0, math.inf), Cell("out of reach", "9,000 or more")),
        (row("out of reach", math.inf, math.inf, math.inf), Cell("out of reach", "")),
        (row("measured below", 88.0, 88.0, 90.0), Cell("≤ 88", "fewest measured")),
        (None, "–"),
    ],
)
def test_labels_needed_say_how_they_are_known(given, cell):
    assert tables.needed_cell(given) == cell


def test_methods_are_rows_and_accuracies_columns():
    needed = make_needed(make_curves())
    shown = tables.needed_table(needed, ["logreg_tower", "absent"], str.upper)

    assert [column.name for column in shown.columns][:2] == ["Method", "60\u00a0%"]
    assert [cells[0] for cells in shown.rows] == ["LOGREG_TOWER"]


def test_every_method_and_accuracy_has_a_row_somewhere():
    needed = make_needed(make_curves())

    assert len(tables.every_needed_table(needed, str).rows) == len(needed)


def test_comparisons_name_their_opponent():
    paired = make_paired(make_curves()).head(4)

    rows = tables.paired_table(paired, str.upper).rows

    assert {cells[1] for cells in rows} == {"LOGREG_TOWER", "zero-shot"}


def test_calibration_shows_the_measures_that_there_are():
    shown = tables.calibration_table(make_calibration(make_curves()), str)

    names = [column.name for column in shown.columns]
    assert names[2:] == [
        "Calibration error, equal width", "Calibration error, equal mass", "Brier score"
    ]  # fmt: skip
    assert shown.rows[-1][:2] == ("Zero-shot", "none")


def test_means_of_counts_have_a_digit_only_where_they_need_it():
    assert (tables.tenths(12.0), tables.tenths(1234.4)) == ("12", "1,234.4")


def test_an_unknown_time_is_a_dash():
    price = pd.DataFrame(
        [("two", 8_200_000, math.nan, "a", 0.5)],
        columns=["towers", "parameters", "ms_per_photograph", "method", "top1_1"],
    )

    (cells,) = tables.price_table(price, str).rows

    assert cells == ("two", "a", "8.2 M", "–", "50.0\u00a0%")
