from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sports_clip_pipeline.encoders.feature_store import FeatureCache


def key(number: int) -> bytes:
    return number.to_bytes(32, "big")


def rows(*numbers: int) -> dict[str, np.ndarray]:
    return {"features": np.array([[n, 10 * n] for n in numbers], np.float32)}


def test_rows_are_gathered_in_any_order_and_as_often_as_asked(tmp_path: Path) -> None:
    space = FeatureCache(tmp_path).space({"tower": "a"})
    space.append([key(1), key(2)], rows(1, 2))
    space.append([key(3)], rows(3))
    found = space.gather([key(3), key(1), key(2), key(1)])
    np.testing.assert_array_equal(found["features"], rows(3, 1, 2, 1)["features"])
    assert len(space) == 3


def test_missing_names_each_key_once(tmp_path: Path) -> None:
    space = FeatureCache(tmp_path).space({})
    space.append([key(1)], rows(1))
    assert space.missing([key(2), key(1), key(2), key(3)]) == [0, 3]
    with pytest.raises(KeyError):
        space.gather([key(2)])


def test_what_was_kept_is_found_again_by_the_same_description_alone(tmp_path: Path) -> None:
    FeatureCache(tmp_path).space({"size": 64, "tower": "a"}).append([key(1)], rows(1))
    assert len(FeatureCache(tmp_path).space({"tower": "a", "size": 64})) == 1
    assert len(FeatureCache(tmp_path).space({"tower": "a", "size": 96})) == 0


def test_a_damaged_block_is_deleted_and_made_again(tmp_path: Path) -> None:
    space = FeatureCache(tmp_path).space({})
    space.append([key(1)], rows(1))
    (block,) = space.folder.glob("*.safetensors")
    block.write_bytes(block.read_bytes()[:-3])
    again = FeatureCache(tmp_path).space({})
    assert again.missing([key(1)]) == [0]
    assert not block.exists()
    again.append([key(1)], rows(1))
    np.testing.assert_array_equal(again.gather([key(1)])["features"], rows(1)["features"])


def test_a_block_with_other_rows_than_keys_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="features has 1 rows for 2 keys"):
        FeatureCache(tmp_path).space({}).append([key(1), key(2)], rows(1))
