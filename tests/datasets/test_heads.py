from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from kedro.io import DatasetError

from sports_clip_pipeline.io import HeadFile
from sports_clip_pipeline.predictor.head import Head, Operation, blend


def branching() -> Head:
    affine = Operation("affine", {"weight": np.eye(2, dtype=np.float32), "bias": np.ones(2)})
    return blend(Head((affine,)), Head((affine, Operation("relu"))).scaled(2.0))


def test_a_branching_head_comes_back(tmp_path: Path) -> None:
    file = HeadFile(filepath=str(tmp_path / "deep" / "head.safetensors"))
    assert not file.exists()
    file.save(branching())
    x = np.array([[1.0, -3.0]], np.float32)
    np.testing.assert_array_equal(file.load()(x), branching()(x))
    assert file.exists()


@pytest.mark.parametrize("content", [b"", b"not safetensors"])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "head.safetensors"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=r"head\.safetensors"):
        HeadFile(filepath=str(path)).load()
