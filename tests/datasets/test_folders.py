from __future__ import annotations

from pathlib import Path

import numpy as np

from sports_clip_pipeline.encoders.image_encoders import image_preprocessing
from sports_clip_pipeline.io import PredictorFoldersDataset
from sports_clip_pipeline.predictor.head import Head, Operation
from sports_clip_pipeline.predictor.predictor import Predictor


def predictor(temperature: float) -> Predictor:
    weight = {"weight": np.ones((2, 1280), np.float32), "bias": np.zeros(2, np.float32)}
    head = Head((Operation("affine", weight),))
    seen = image_preprocessing("lite0", 64, "full")
    return Predictor(("a", "b"), "lite0", seen, head, temperature)


def test_predictors_are_kept_by_name_and_read_one_at_a_time(tmp_path: Path) -> None:
    dataset = PredictorFoldersDataset(filepath=str(tmp_path / "deep" / "predictors"))
    assert not dataset.exists()
    dataset.save({"flyp-0.1-0": lambda: predictor(2.0), "flyp-1-0": lambda: predictor(3.0)})
    found = dataset.load()
    assert {name: read().temperature for name, read in found.items()} == {
        "flyp-0.1-0": 2.0, "flyp-1-0": 3.0,
    }  # fmt: skip


def test_what_is_no_longer_among_them_goes_and_strangers_stay(tmp_path: Path) -> None:
    dataset = PredictorFoldersDataset(filepath=str(tmp_path / "predictors"))
    dataset.save({"a": lambda: predictor(1.0), "b": lambda: predictor(1.0)})
    (tmp_path / "predictors" / "notes").mkdir()
    dataset.save({"b": lambda: predictor(2.0)})
    assert set(dataset.load()) == {"b"}
    assert (tmp_path / "predictors" / "notes").is_dir()
    dataset.save({})
    assert dataset.exists()
    assert dataset.load() == {}
