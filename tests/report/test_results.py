from __future__ import annotations

import math

import pandas as pd
import pytest

from sports_clip_pipeline.report.results import caption_mentions, chosen_point, data_parts

CURVES = pd.DataFrame(
    {"method": ["b", "a", "a"], "fraction": [1.0, 1.0, 0.1], "top1_mean": [0.9, 0.8, 0.5]}
)


def arms(cv_b: float, cv_a: float) -> pd.DataFrame:
    return pd.DataFrame({"method": ["b", "a"], "fraction": [1.0, 1.0], "cv_top1": [cv_b, cv_a]})


def test_cross_validation_chooses_even_where_the_evaluation_disagrees():
    assert chosen_point(CURVES, arms(0.6, 0.7), 1.0)["method"] == "a"


def test_a_method_without_a_score_loses_to_one_that_has_it():
    assert chosen_point(CURVES, arms(0.1, math.nan), 1.0)["method"] == "b"


def test_without_any_score_the_first_name_stands_in():
    assert chosen_point(CURVES, arms(math.nan, math.nan), 1.0)["method"] == "a"


def test_a_fraction_that_was_not_run_is_refused():
    with pytest.raises(ValueError, match=r"0\.5"):
        chosen_point(CURVES, arms(0.6, 0.7), 0.5)


def test_parts_come_in_the_order_of_their_use():
    audit = {
        "images": {"flickr8k": {"total": 9, "test": 2, "train": 7}},
        "parts": {"evaluation": 3, "development": 5},
    }

    assert list(data_parts(audit).items()) == [
        ("Captioned: train", 7),
        ("Captioned: test", 2),
        ("Labelled: development", 5),
        ("Labelled: evaluation", 3),
    ]


def test_mentions_are_added_over_splits():
    audit = {"mentions": {"chess": {"train": 2, "test": 1}, "wwe": {"train": 0, "test": 0}}}

    assert caption_mentions(audit) == {"chess": 3, "wwe": 0}
