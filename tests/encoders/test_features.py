import re
from pathlib import Path

import numpy as np
import pytest

from sports_clip_pipeline.encoders.features import (
    FeatureCache,
    FeatureRows,
    additional_key,
    concat_features,
    release_pages,
    scratch_array,
)
from sports_clip_pipeline.errors import UserFacingError


def key(number: int) -> bytes:
    return number.to_bytes(32, "big")


def rows(*numbers: int) -> dict[str, np.ndarray]:
    return {"features": np.array([[n, 10 * n] for n in numbers], np.float32)}


def test_rows_are_gathered_in_any_order_and_as_often_as_asked(tmp_path: Path) -> None:
    space = FeatureCache(tmp_path).space({"encoder": "a"})
    space.append([key(1), key(2)], rows(1, 2))
    space.append([key(3)], rows(3))
    found = space.gather([key(3), key(1), key(2), key(1)])
    np.testing.assert_array_equal(found["features"], rows(3, 1, 2, 1)["features"])
    assert space.missing([key(number) for number in range(5)]) == [0, 4]


def test_missing_names_each_key_once(tmp_path: Path) -> None:
    space = FeatureCache(tmp_path).space({})
    space.append([key(1)], rows(1))
    assert space.missing([key(2), key(1), key(2), key(3)]) == [0, 3]
    with pytest.raises(KeyError):
        space.gather([key(2)])


def test_rows_are_found_under_the_same_description_only(tmp_path: Path) -> None:
    FeatureCache(tmp_path).space({"size": 64, "encoder": "a"}).append([key(1)], rows(1))
    assert not FeatureCache(tmp_path).space({"encoder": "a", "size": 64}).missing([key(1)])
    assert FeatureCache(tmp_path).space({"encoder": "a", "size": 96}).missing([key(1)])


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


def test_a_block_with_fewer_rows_than_keys_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="features has 1 rows for 2 keys"):
        FeatureCache(tmp_path).space({}).append([key(1), key(2)], rows(1))


@pytest.fixture
def on_disk(tmp_path: Path) -> np.ndarray:
    """(500, 40) float32 of a mapped file."""
    values = np.random.default_rng(0).normal(0.3, 2.0, (500, 40)).astype(np.float32)
    values.tofile(tmp_path / "values")
    return np.memmap(tmp_path / "values", np.float32, "r", shape=(500, 40))


def some_rows() -> np.ndarray:
    return np.sort(np.random.default_rng(1).permutation(500)[:333])


def test_feature_rows_select_rows_of_the_array(on_disk: np.ndarray) -> None:
    rows = FeatureRows(on_disk, np.array([7, 3, 400]))
    assert rows.shape == (3, 40)
    assert len(rows) == 3
    np.testing.assert_array_equal(rows[np.array([2, 0, 0])], on_disk[[400, 7, 7]])
    np.testing.assert_array_equal(np.asarray(rows), on_disk[[7, 3, 400]])
    assert rows[np.array([1])].flags.writeable
    np.testing.assert_array_equal(np.asarray(FeatureRows(on_disk)), on_disk)


def test_a_digest_depends_on_type_shape_and_content_of_the_rows(on_disk: np.ndarray) -> None:
    rows = some_rows()
    digest = FeatureRows(on_disk, rows).digest()
    assert digest == FeatureRows(np.array(on_disk)[rows]).digest()
    assert digest != FeatureRows(on_disk, rows[::-1]).digest()
    assert digest != FeatureRows(on_disk, rows[1:]).digest()
    assert digest != FeatureRows(on_disk.astype(np.float64), rows).digest()


def test_a_scratch_array_holds_its_content_and_leaves_no_file(tmp_path: Path) -> None:
    array = scratch_array(tmp_path, (300, 1000), np.float32)
    array[7] = 3.0
    release_pages(array)
    assert array.sum() == 3000.0
    assert list(tmp_path.iterdir()) == []
    assert scratch_array(tmp_path, (0, 4), np.float32).shape == (0, 4)


def test_releasing_pages_keeps_a_copy_on_write(tmp_path: Path) -> None:
    np.zeros(2048, np.float32).tofile(tmp_path / "values")
    copy = np.memmap(tmp_path / "values", np.float32, "c", shape=(2048,))
    copy[:] = 1.0
    release_pages(copy)
    assert copy.sum() == 2048.0


def test_a_full_disk_is_reported_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full, raising=False)
    with pytest.raises(UserFacingError, match=re.escape(str(tmp_path))):
        scratch_array(tmp_path, (3, 4), np.float32)


def _resident_kib(array: np.ndarray) -> int:
    """How much of a mapped file this process holds in memory."""
    start = f"{array.ctypes.data & ~4095:x}-"
    lines = Path("/proc/self/smaps").read_text().splitlines()
    where = next(i for i, line in enumerate(lines) if line.startswith(start))
    return next(int(line.split()[1]) for line in lines[where:] if line.startswith("Rss:"))


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="needs Linux's /proc")
def test_pages_of_rows_are_released(tmp_path: Path) -> None:
    np.ones((4000, 256), np.float32).tofile(tmp_path / "values")
    values = np.memmap(tmp_path / "values", np.float32, "r", shape=(4000, 256))
    values.sum()
    assert _resident_kib(values) > 3000
    FeatureRows(values)[np.arange(4000)]
    assert _resident_kib(values) < 500


ARRAYS = {
    "additional.lite1": np.full((2, 1), 3.0, np.float32),
    "additional.lite0": np.full((2, 2), 2.0, np.float32),
    "features": np.full((2, 3), 1.0, np.float32),
    "logits": np.zeros((2, 1000), np.float16),
    "row": np.arange(2),
}


@pytest.mark.parametrize("arrays", [ARRAYS, dict(reversed(ARRAYS.items()))])
@pytest.mark.parametrize(
    ("encoders", "row", "widths"),
    [
        (None, [1, 1, 1, 2, 2, 3], (3, 2, 1)),
        (["lite1", "lite0"], [1, 1, 1, 3, 2, 2], (3, 1, 2)),
        ([], [1, 1, 1], (3,)),
    ],
)
def test_columns_are_the_first_encoders_then_the_named_ones_or_all_by_name(
    arrays: dict, encoders: list[str] | None, row: list[int], widths: tuple[int, ...]
) -> None:
    features, found = concat_features(arrays, encoders)
    np.testing.assert_array_equal(features, [row] * 2)
    assert (found, features.dtype) == (widths, np.float32)


def test_an_additional_encoder_without_features_is_refused_with_the_remedy() -> None:
    with pytest.raises(
        UserFacingError,
        match=r"encoder lite2: are not there \(additional_encoders: additional.lite0, "
        r"additional.lite1\); "
        r"add lite2 to embed.additional_encoders",
    ):
        concat_features(ARRAYS, ["lite2"])


def test_encoders_with_different_numbers_of_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="features of 2, 3 images"):
        concat_features(
            {**ARRAYS, additional_key("lite0"): np.zeros((3, 2), np.float32)}, ["lite0"]
        )
