import numpy as np
import pandas as pd
import pytest

from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.explain.sampling import (
    COLUMNS,
    PAIR_COLUMNS,
    check_in_store,
    sample_confused_pairs,
    sample_for_measurement,
    sample_predictions,
)


@pytest.fixture
def predictions() -> pd.DataFrame:
    """200 predictions over four classes, a quarter of them wrong."""
    random = np.random.default_rng(0)
    label = random.choice(["a", "b", "c", "d"], 200)
    wrong = random.random(200) < 0.25
    return pd.DataFrame(
        {
            "image": [f"{row:03}.jpg" for row in range(200)],
            "label": label,
            "predicted": np.where(wrong, np.where(label == "a", "b", "a"), label),
            "probability": random.random(200),
        }
    )


def test_the_requested_numbers_are_sampled_right_ones_first(predictions):
    chosen = sample_predictions(predictions, 5, 3, 0.5, seed=0)
    assert list(chosen["right"]) == [True] * 5 + [False] * 3
    assert ((chosen["label"] == chosen["predicted"]) == chosen["right"]).all()
    assert tuple(chosen.columns) == COLUMNS
    assert chosen["image"].is_unique


def test_only_confident_ones_are_drawn(predictions):
    chosen = sample_predictions(predictions, 8, 8, 0.5, seed=0)
    right = predictions["label"] == predictions["predicted"]
    for kind, of_kind in ((True, predictions[right]), (False, predictions[~right])):
        drawn = chosen.loc[chosen["right"] == kind, "probability"]
        assert drawn.min() >= of_kind["probability"].median()


def test_the_classes_take_turns(predictions):
    counts = (
        sample_predictions(predictions, 8, 6, 0.8, seed=3).groupby("right")["label"].value_counts()
    )
    assert set(counts[True]) == {2}
    assert counts[False].max() - counts[False].min() <= 1


def test_the_seed_decides_and_the_order_of_the_rows_does_not(predictions):
    first = sample_predictions(predictions, 5, 5, 0.5, seed=1)
    shuffled = predictions.sample(frac=1, random_state=5)
    pd.testing.assert_frame_equal(sample_predictions(shuffled, 5, 5, 0.5, seed=1), first)
    assert set(sample_predictions(predictions, 5, 5, 0.5, seed=2)["image"]) != set(first["image"])


def test_the_smallest_share_still_gives_as_many_as_requested_and_those_are_the_most_confident():
    table = pd.DataFrame(
        {
            "image": list("pqrs"),
            "label": ["a"] * 4,
            "predicted": ["a"] * 4,
            "probability": [0.9, 0.6, 0.8, 0.7],
        }
    )
    assert set(sample_predictions(table, 2, 0, 0.01, seed=0)["image"]) == {"p", "r"}


def test_where_there_are_fewer_all_are_taken(predictions):
    right = predictions[predictions["label"] == predictions["predicted"]]
    chosen = sample_predictions(right, 10_000, 5, 0.5, seed=0)
    assert set(chosen["image"]) == set(right["image"])


def test_no_predictions_give_no_images(predictions):
    assert sample_predictions(predictions.head(0), 3, 3, 0.5, seed=0).empty


def test_a_draw_for_measuring_has_the_share_of_wrong_ones_and_its_beginning_is_a_draw(predictions):
    drawn = sample_for_measurement(predictions, 60, 0.3, seed=0)
    assert len(drawn) == 60 and (~drawn["right"]).sum() == 18
    pd.testing.assert_frame_equal(sample_for_measurement(predictions, 20, 0.3, 0), drawn.head(20))
    assert (~drawn["right"]).head(20).sum() == 6
    shuffled = predictions.sample(frac=1, random_state=3)
    pd.testing.assert_frame_equal(sample_for_measurement(shuffled, 60, 0.3, seed=0), drawn)
    assert set(sample_for_measurement(predictions, 60, 0.3, seed=1)["image"]) != set(drawn["image"])


def test_where_one_kind_is_short_the_other_fills_up(predictions):
    wrong = (predictions["label"] != predictions["predicted"]).sum()
    everything = sample_for_measurement(predictions, 10_000, 0.9, seed=0)
    assert len(everything) == 200 and (~everything["right"]).sum() == wrong
    assert (~sample_for_measurement(predictions, 100, 0.9, seed=0)["right"]).sum() == min(90, wrong)
    right = predictions[predictions["label"] == predictions["predicted"]]
    assert len(sample_for_measurement(right, 50, 0.5, seed=0)) == 50


def test_of_a_confused_pair_the_most_confident_error_is_taken_and_else_the_closest_call():
    predictions = pd.DataFrame(
        [
            ("1", "a", "b", 0.7), ("2", "a", "b", 0.9), ("3", "a", "a", 0.99),
            ("4", "b", "b", 0.8), ("5", "b", "b", 0.6), ("6", "b", "c", 0.95),
        ],
        columns=["image", "label", "predicted", "probability"],
    )  # fmt: skip
    pairs = pd.DataFrame({"first": ["a", "a"], "second": ["b", "c"]})
    chosen = sample_confused_pairs(predictions, pairs, 1)
    assert tuple(chosen.columns) == PAIR_COLUMNS
    assert list(chosen["image"]) == ["2", "5"]  # 6 was taken for neither of the two
    assert set(chosen["first"]) == {"a"} and set(chosen["second"]) == {"b"}
    assert sample_confused_pairs(predictions, pairs, 0).empty
    assert sample_confused_pairs(predictions, pd.DataFrame(), 3).empty


def test_an_image_that_the_store_lacks_is_named():
    check_in_store(["a.jpg"], ["a.jpg", "b.jpg"], "cam")
    with pytest.raises(UserFacingError, match=r"1 of its .*first c\.jpg.*then cam_eval"):
        check_in_store(["a.jpg", "c.jpg"], ["a.jpg", "b.jpg"], "cam_eval")
