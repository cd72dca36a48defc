from __future__ import annotations

import numpy as np
import pytest

from sports_clip_pipeline.evaluation.test_predictions import arm_key, points_of

TARGET = np.array([0, 1])
SURE, WRONG = np.eye(2, dtype=np.float16), np.eye(2, dtype=np.float16)[::-1]


def test_arms_that_differ_in_their_seed_make_one_point_in_order_of_seeds() -> None:
    points = points_of({"b/0.5/0": SURE, "a/0.01/2": WRONG, "a/0.01/0": SURE}, TARGET)
    assert list(points) == [("a", 0.01), ("b", 0.5)]
    point = points["a", 0.01]
    assert point.seeds == (0, 2)
    assert point.predicted().tolist() == [[0, 1], [1, 0]]
    assert point.correct(TARGET).tolist() == [[True, True], [False, False]]
    assert point.of_seeds((2,)).correct(TARGET).tolist() == [[False, False]]


def test_keys_come_back_as_method_fraction_and_seed() -> None:
    assert arm_key("a", 0.01, 3) == "a/0.01/3"
    assert arm_key("a", 1.0, 0) == "a/1/0"
    assert list(points_of({"x/y/1/0": SURE}, TARGET)) == [("x/y", 1.0)]


@pytest.mark.parametrize("key", ["a/0.1", "a/half/0", "a/0.1/x"])
def test_names_of_another_form_are_refused(key: str) -> None:
    with pytest.raises(ValueError, match=r"method/fraction/seed, got 'a/"):
        points_of({key: SURE}, TARGET)


def test_a_missing_row_is_named() -> None:
    with pytest.raises(ValueError, match=r"a/1/0: 2 rows of probabilities, 3 targets"):
        points_of({"a/1/0": SURE}, np.zeros(3, int))
