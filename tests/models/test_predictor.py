from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.models.head import Head, Operation, softmax
from sports_clip_pipeline.models.predictor import Predictor, load_predictor
from sports_clip_pipeline.models.towers import image_preprocessing, load_image_tower

RNG = np.random.default_rng(0)


@pytest.fixture
def predictor() -> Predictor:
    arrays = {
        "weight": RNG.normal(size=(3, 1280)).astype(np.float32),
        "bias": np.zeros(3, np.float32),
    }
    return Predictor(
        classes=("Baseball", "Chess", "Kabaddi"),
        tower="lite0",
        preprocessing=image_preprocessing("lite0", 64, "full"),
        head=Head((Operation("l2_normalise"), Operation("affine", arrays))),
        temperature=0.5,
        origin={"method": "test"},
    )


def test_a_predictor_survives_its_folder_moved_elsewhere(
    predictor: Predictor, tmp_path: Path
) -> None:
    predictor.save(tmp_path / "a")
    (tmp_path / "a").rename(tmp_path / "b")
    again = load_predictor(tmp_path / "b")
    features = RNG.normal(size=(4, 1280)).astype(np.float32)
    np.testing.assert_array_equal(again.predict_proba(features), predictor.predict_proba(features))
    for name in ("classes", "tower", "preprocessing", "temperature", "origin", "tower_weights"):
        assert getattr(again, name) == getattr(predictor, name)


def test_the_temperature_divides_the_logits(predictor: Predictor) -> None:
    features = RNG.normal(size=(4, 1280)).astype(np.float32)
    wanted = softmax(predictor.head(features) / 0.5)
    np.testing.assert_allclose(predictor.predict_proba(features), wanted)


def test_photographs_give_what_their_features_give(
    predictor: Predictor, pictures: list[Image.Image]
) -> None:
    pixels = np.stack([predictor.preprocessing.to_array(picture) for picture in pictures])
    tower = load_image_tower("lite0")
    with torch.inference_mode():
        maps = tower.forward_features(torch.from_numpy(pixels))
        features = tower.forward_head(maps, pre_logits=True).numpy()
    wanted = predictor.predict_proba(features)
    np.testing.assert_allclose(predictor.predict_images(pictures, batch=4), wanted, atol=1e-4)


def test_a_trained_tower_travels_in_the_folder(predictor: Predictor, tmp_path: Path) -> None:
    weights = {key: value.numpy() for key, value in load_image_tower("lite0").state_dict().items()}
    weights = {key: value.copy() for key, value in weights.items()}
    weights["conv_head.weight"] = weights["conv_head.weight"] * 0.5
    own = Predictor(
        predictor.classes, "lite0", predictor.preprocessing, predictor.head, tower_weights=weights
    )
    own.save(tmp_path / "p")
    again = load_predictor(tmp_path / "p")
    kept = again.module().tower.state_dict()["conv_head.weight"].numpy()
    np.testing.assert_array_equal(kept, weights["conv_head.weight"])
    assert json.loads((tmp_path / "p/predictor.json").read_text())["tower_weights"] == "own"


def test_damage_is_told_with_the_command_that_mends_it(
    predictor: Predictor, tmp_path: Path
) -> None:
    folder = tmp_path / "p"
    with pytest.raises(UserFacingError, match=r"is no whole predictor.*--pipelines=finetune"):
        load_predictor(folder)
    predictor.save(folder)
    weights = folder / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(UserFacingError, match="its checksum differs"):
        load_predictor(folder)
    record = json.loads((folder / "predictor.json").read_text())
    (folder / "predictor.json").write_text(json.dumps({**record, "form": 99}))
    with pytest.raises(UserFacingError, match="has form 99, wanted 1"):
        load_predictor(folder)
