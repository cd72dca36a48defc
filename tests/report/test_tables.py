from __future__ import annotations

import dataclasses

import pandas as pd
import pytest

from sports_clip_pipeline.report import tables
from sports_clip_pipeline.report.blocks import table
from tests.report.study import make_results


def plain(rows):
    return [tuple(cell.replace("\u00a0", " ") for cell in row) for row in rows]


def test_a_row_of_another_width_is_refused():
    with pytest.raises(ValueError, match="1 cells for 2 columns"):
        table("T", ("a", "b"), [("x",)])


def test_the_most_frequent_confusions_come_first():
    confused = tables.confused_table(["a", "b", "c"], [[5, 3, 2], [0, 4, 0], [9, 1, 0]], 2)

    assert plain(confused.rows) == [("c", "a", "9", "90.0 %"), ("a", "b", "3", "30.0 %")]


def test_a_perfect_classifier_confuses_nothing():
    assert tables.confused_table(["a", "b"], [[5, 0], [0, 5]], 5).rows == ()


def test_the_gain_of_a_class_has_a_sign():
    before = {"a": {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 4}}
    after = {"a": {"precision": 0.4, "recall": 0.4, "f1": 0.4, "support": 4}}

    (row,) = tables.per_class_table(before, after).rows

    assert row[-1] == "−10.0"


def test_quarantine_is_counted_by_reason_and_corpus():
    quarantine = pd.DataFrame(
        {"corpus": ["s", "s", "f"], "reason": ["not_an_image", "not_an_image", "truncated"]}
    )

    assert tables.quarantine_table(quarantine).rows == (
        ("not an image", "s", "2"),
        ("truncated", "f", "1"),
    )


@pytest.mark.parametrize("drawn", [tables.quarantine_table, tables.duplicates_table])
def test_an_empty_table_has_no_rows(drawn):
    columns = ["corpus", "reason", "kind", "action"]

    assert drawn(pd.DataFrame(columns=columns)).rows == ()


def test_mentions_have_a_column_for_each_split():
    audit = {"mentions": {"chess": {"test": 1}, "ice_hockey": {"test": 0, "train": 3}}}

    mentions = tables.mentions_table(audit)

    assert [column.name for column in mentions.columns] == ["Class", "train", "test"]
    assert mentions.rows == (("chess", "0", "1"), ("ice hockey", "3", "0"))


def test_a_clean_tree_has_the_commit_alone():
    results = make_results()
    made = {**results.provenance, "dirty": None}

    run, versions = tables.provenance_tables(dataclasses.replace(results, provenance=made))

    assert dict(run.rows)["Commit"] == made["commit"]
    assert dict(run.rows)["Text tower"] == "minilm"
    assert ("kedro", "1.7.0") in versions.rows


def test_a_dirty_tree_is_told():
    run, _ = tables.provenance_tables(make_results())

    assert dict(run.rows)["Commit"].endswith(" with local changes")
