from __future__ import annotations

import numpy as np
import pytest

from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.models.stacking import companion_key, stack_towers

ARRAYS = {
    "companion.lite1": np.full((2, 1), 3.0, np.float32),
    "companion.lite0": np.full((2, 2), 2.0, np.float32),
    "features": np.full((2, 3), 1.0, np.float32),
    "logits": np.zeros((2, 1000), np.float16),
    "row": np.arange(2),
}


def test_the_first_tower_stands_first_and_companions_by_name_whatever_the_arrays_order() -> None:
    features, widths = stack_towers(ARRAYS)
    np.testing.assert_array_equal(features, [[1, 1, 1, 2, 2, 3]] * 2)
    assert (widths, features.dtype) == ((3, 2, 1), np.float32)
    again, _ = stack_towers(dict(reversed(ARRAYS.items())))
    np.testing.assert_array_equal(again, features)


def test_named_companions_are_taken_in_the_order_asked_for() -> None:
    features, widths = stack_towers(ARRAYS, ["lite1", "lite0"])
    np.testing.assert_array_equal(features, [[1, 1, 1, 3, 2, 2]] * 2)
    assert widths == (3, 1, 2)


def test_no_companions_leave_the_first_tower_alone() -> None:
    features, widths = stack_towers(ARRAYS, [])
    np.testing.assert_array_equal(features, ARRAYS["features"])
    assert widths == (3,)


def test_a_companion_without_features_is_named_with_the_remedy() -> None:
    with pytest.raises(
        UserFacingError,
        match=r"tower lite2: are not there \(additional_encoders: companion.lite0, companion.lite1\); "
        r"add lite2 to embed.additional_encoders",
    ):
        stack_towers(ARRAYS, ["lite2"])


def test_towers_of_different_corpora_are_refused() -> None:
    with pytest.raises(ValueError, match="features of 2, 3 photographs"):
        stack_towers({**ARRAYS, companion_key("lite0"): np.zeros((3, 2), np.float32)}, ["lite0"])
