import io
from importlib import metadata

import pandas as pd
import pytest
from PIL import Image

from sports_clip_pipeline.report import data_sections as sections
from tests.report.factories import make_small_study


def test_splits_are_in_the_order_of_their_use():
    audit = {
        "images": {"flickr8k": {"total": 9, "test": 2, "train": 7}},
        "splits": {"test": 3, "development": 5},
    }
    assert list(sections.split_sizes(audit).items()) == [
        ("Captioned: train", 7),
        ("Captioned: test", 2),
        ("Labelled: development", 5),
        ("Labelled: test", 3),
    ]


def test_mentions_are_ordered_by_number_then_by_name():
    mentions = {
        "chess": {"test": 2}, "wwe": {"test": 0, "train": 7}, "boxing": {"train": 2}, "golf": {}
    }  # fmt: skip
    audit = {"captions": 9, "mentions": mentions}
    section = sections.caption_mentions(make_small_study(tokenize_audit=audit))
    (bars,) = section.figure.data
    assert list(bars.x) == [7, 2, 2, 0]
    assert list(bars.customdata) == ["wwe", "boxing", "chess", "golf"]
    assert section.folded[0].heads == ("Class", "train", "test")
    assert section.folded[0].rows[:2] == [("chess", "0", "2"), ("wwe", "7", "0")]
    assert "Never named: golf." in section.text


def test_rejected_files_are_counted_by_reason_and_corpus():
    reasons = ["not_an_image", "not_an_image", "truncated"]
    rejected = pd.DataFrame({"corpus": ["s", "s", "f"], "reason": reasons})
    (table,) = sections.rejected_files(make_small_study(quarantine=rejected)).tables
    assert table.rows == [("not an image", "s", "2"), ("truncated", "f", "1")]


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


ISSUES = pd.DataFrame(
    {
        "image": ["late.jpg", "first.jpg"],
        "label": ["chess", "ice_hockey"],
        "suggested": ["wwe", "hockey"],
        "self_confidence": [0.2, 0.01],
        "rank": [2, 1],
    }
)


class Store:
    """Images by row; row n is n + 1 hundred pixels wide."""

    def get(self, i):
        return Image.new("RGB", (100 * (i + 1), 50))


def test_thumbnails_keep_their_aspect_ratio_and_are_small():
    drawn = sections.draw_thumbnails(["b", "b"], Store(), ["a", "b"], 96)
    assert list(drawn) == ["b"]
    assert Image.open(io.BytesIO(drawn["b"])).size == (96, 24)
    with pytest.raises(KeyError, match="c"):
        sections.draw_thumbnails(["c"], Store(), ["a"], 96)


def test_label_issues_are_ordered_by_rank_with_both_labels():
    study = make_small_study(label_issues=ISSUES, thumbnails={"first.jpg": b"jpeg"})
    first, late = sections.label_issues(study).thumbnails
    lines = ["labelled ice hockey, 1.0\u00a0% likely"]
    assert first == (b"jpeg", "Image labelled ice hockey", "hockey?", lines, "first.jpg")
    assert late[0] is None
    assert list(sections.top_ranked(ISSUES, 1)["image"]) == ["first.jpg"]


def test_a_query_has_its_rank_and_reason():
    queries = pd.DataFrame(
        {"image": ["x.jpg"], "rank": [1], "reason": ["undecided between ice_hockey and wwe"],
         "predicted": ["wwe"], "probability": [0.412], "margin": [0.0]}
    )  # fmt: skip
    (one,) = sections.active_learning(make_small_study(label_queries=queries)).thumbnails
    lines = ["confidence 41.2\u00a0%", "undecided between ice hockey and wwe"]
    assert one[2:4] == ("1. wwe?", lines)
