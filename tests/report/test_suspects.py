from __future__ import annotations

import io

import pandas as pd
import pytest
from PIL import Image

from sports_clip_pipeline.report import suspects

WRONG = pd.DataFrame(
    {
        "image": ["late.jpg", "first.jpg"],
        "label": ["chess", "ice_hockey"],
        "suggested": ["wwe", "hockey"],
        "self_confidence": [0.2, 0.01],
        "rank": [2, 1],
    }
)


class Store:
    """Photographs by row; row n is n + 1 hundred pixels wide."""

    def get(self, i):
        return Image.new("RGB", (100 * (i + 1), 50))


def test_thumbnails_keep_their_shape_and_are_small():
    drawn = suspects.draw_thumbnails(["b", "b"], Store(), ["a", "b"], 96)

    assert list(drawn) == ["b"]
    assert Image.open(io.BytesIO(drawn["b"])).size == (96, 24)


def test_a_photograph_that_is_not_in_the_store_is_refused():
    with pytest.raises(KeyError, match="c"):
        suspects.draw_thumbnails(["c"], Store(), ["a"], 96)


def test_the_first_ranks_come_first_and_no_more_than_wanted():
    assert list(suspects.foremost(WRONG, 1)["image"]) == ["first.jpg"]
    assert suspects.foremost(pd.DataFrame(), 3).empty


def test_a_likely_mislabelled_photograph_says_both_labels():
    (first, late) = suspects.mislabelled_suspects(WRONG, {"first.jpg": b"jpeg"}, 5)

    assert first.title == "hockey?"
    assert first.lines == ("labelled ice hockey, 1.0\u00a0% likely",)
    assert first.picture.startswith("data:image/jpeg;base64,") and first.text
    assert late.picture == ""


def test_a_photograph_to_label_next_says_its_rank_and_the_reason():
    table = pd.DataFrame(
        {"image": ["x.jpg"], "rank": [1], "reason": ["undecided between ice_hockey and wwe"],
         "predicted": ["wwe"], "probability": [0.412], "margin": [0.0]}
    )  # fmt: skip

    (one,) = suspects.next_suspects(table, {}, 3)

    assert one.title == "1. wwe?"
    assert one.lines == ("41.2\u00a0% sure", "undecided between ice hockey and wwe")
