from __future__ import annotations

from importlib import metadata

import pandas as pd
import pytest

from sports_clip_pipeline.report import data_sections as sections
from sports_clip_pipeline.report.blocks import make_table
from tests.report.study import make_small_study


def test_a_row_of_another_width_is_rejected():
    with pytest.raises(ValueError, match="1 cells for 2 columns"):
        make_table("T", ("a", "b"), [("x",)])


def test_splits_are_in_the_order_of_their_use():
    audit = {
        "images": {"flickr8k": {"total": 9, "test": 2, "train": 7}},
        "parts": {"evaluation": 3, "development": 5},
    }

    assert list(sections.split_sizes(audit).items()) == [
        ("Captioned: train", 7),
        ("Captioned: test", 2),
        ("Labelled: development", 5),
        ("Labelled: test", 3),
    ]


def test_mentions_are_drawn_by_number_then_by_name_and_tabulated_by_split():
    mentions = {
        "chess": {"test": 2}, "wwe": {"test": 0, "train": 7}, "boxing": {"train": 2}, "golf": {}
    }  # fmt: skip
    section = sections.caption_mentions(
        make_small_study(caption_audit={"captions": 9, "mentions": mentions})
    )

    (bars,) = section.figure.data
    assert (list(bars.x), list(bars.customdata)) == (
        [7, 2, 2, 0],
        ["wwe", "boxing", "chess", "golf"],
    )
    assert [column.name for column in section.folded[0].columns] == ["Class", "train", "test"]
    assert section.folded[0].rows[:2] == (("chess", "0", "2"), ("wwe", "7", "0"))
    assert "Never named: golf." in section.text


def test_rejected_files_are_counted_by_reason_and_corpus():
    reasons = ["not_an_image", "not_an_image", "truncated"]
    rejected = pd.DataFrame({"corpus": ["s", "s", "f"], "reason": reasons})

    (table,) = sections.rejected_files(make_small_study(rejected=rejected)).tables

    assert table.rows == (("not an image", "s", "2"), ("truncated", "f", "1"))


def test_absent_packages_are_left_out():
    versions = sections.package_versions(["numpy", "no-such-package-anywhere"])

    assert versions["numpy"] == metadata.version("numpy")
    assert set(versions) == {"python", "numpy"}


def test_an_encoder_whose_features_were_all_cached_names_no_backend():
    audit = {
        "image_encoder": "lite2",
        "text_encoder": "minilm",
        "weights_sha256": {"image": "a" * 64, "text": "b" * 64},
        "backends": {"image": {"chosen": "onnxruntime"}},
    }

    assert sections.describe_encoders(audit) == {
        "image": "lite2, weights aaaaaaaaaaaa…, by onnxruntime",
        "text": "minilm, weights bbbbbbbbbbbb…",
    }


@pytest.mark.parametrize(("dirty", "end"), [(None, "f"), (True, " with local changes")])
def test_the_commit_says_whether_the_tree_had_changes(dirty, end):
    study = make_small_study()
    made = {**study.provenance, "commit": "0f", "dirty": dirty}

    run, versions = sections.provenance(make_small_study(provenance=made)).tables

    assert dict(run.rows)["Commit"].endswith(end)
    assert dict(run.rows)["Text encoder"] == "minilm"
    assert ("kedro", "1.7.0") in versions.rows
