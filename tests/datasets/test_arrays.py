from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from kedro.io import DatasetError

from sports_clip_pipeline.datasets import Arrays


def test_arrays_come_back_with_type_and_shape(tmp_path: Path) -> None:
    dataset = Arrays(filepath=str(tmp_path / "deep/a.safetensors"))
    assert not dataset.exists()
    wide = np.arange(6, dtype=np.float16).reshape(2, 3)
    dataset.save({"turned": wide.T, "row": np.array([1, 2])})
    found = dataset.load()
    np.testing.assert_array_equal(found["turned"], wide.T)
    assert found["turned"].dtype == np.float16
    assert found["row"].dtype == np.int64


def test_half_a_file_is_refused(tmp_path: Path) -> None:
    dataset = Arrays(filepath=str(tmp_path / "a.safetensors"))
    dataset.save({"a": np.zeros(9)})
    path = tmp_path / "a.safetensors"
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(DatasetError, match=r"a\.safetensors"):
        dataset.load()
