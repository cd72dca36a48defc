from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from sports_clip_pipeline.encoders.image_encoders import (
    image_preprocessing,
    load_image_encoder,
    pooled_features,
)
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.predictor.head import Head, Operation, softmax
from sports_clip_pipeline.predictor.predictor import EncoderInput, Predictor, load_predictor

RNG = np.random.default_rng(0)


@pytest.fixture
def predictor() -> Predictor:
    arrays = {
        "weight": RNG.normal(size=(3, 1280)).astype(np.float32),
        "bias": np.zeros(3, np.float32),
    }
    return Predictor(
        classes=("Baseball", "Chess", "Kabaddi"),
        image_encoder="lite0",
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
    for name in (
        "classes",
        "image_encoder",
        "preprocessing",
        "temperature",
        "origin",
        "encoder_weights",
    ):
        assert getattr(again, name) == getattr(predictor, name)


def test_the_temperature_divides_the_logits(predictor: Predictor) -> None:
    features = RNG.normal(size=(4, 1280)).astype(np.float32)
    wanted = softmax(predictor.head(features) / 0.5)
    np.testing.assert_allclose(predictor.predict_proba(features), wanted)


def test_photographs_give_what_their_features_give(
    predictor: Predictor, pictures: list[Image.Image]
) -> None:
    pixels = np.stack([predictor.preprocessing.to_array(picture) for picture in pictures])
    tower = load_image_encoder("lite0")
    with torch.inference_mode():
        maps = tower.forward_features(torch.from_numpy(pixels))
        features = tower.forward_head(maps, pre_logits=True).numpy()
    wanted = predictor.predict_proba(features)
    np.testing.assert_allclose(predictor.predict_images(pictures, batch=4), wanted, atol=1e-4)


def test_a_trained_tower_travels_in_the_folder(predictor: Predictor, tmp_path: Path) -> None:
    weights = {
        key: value.numpy() for key, value in load_image_encoder("lite0").state_dict().items()
    }
    weights = {key: value.copy() for key, value in weights.items()}
    weights["conv_head.weight"] = weights["conv_head.weight"] * 0.5
    own = Predictor(
        predictor.classes, "lite0", predictor.preprocessing, predictor.head, encoder_weights=weights
    )
    own.save(tmp_path / "p")
    again = load_predictor(tmp_path / "p")
    kept = again.module().encoder.state_dict()["conv_head.weight"].numpy()
    np.testing.assert_array_equal(kept, weights["conv_head.weight"])
    assert json.loads((tmp_path / "p/predictor.json").read_text())["encoder_weights"] == "own"


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
    (folder / "predictor.json").write_text(json.dumps({**record, "format": 99}))
    with pytest.raises(UserFacingError, match="has format 99, wanted 3"):
        load_predictor(folder)


def two_towers(views: tuple[str, ...] = ("full", "centre"), size: int = 64) -> Predictor:
    """Lite0 first, then Lite1; an affine head whose logits tell the columns apart."""
    weight = RNG.normal(size=(3, 2560)).astype(np.float32)
    return Predictor(
        classes=("Baseball", "Chess", "Kabaddi"),
        image_encoder="lite0",
        preprocessing=image_preprocessing("lite0", 64, "full"),
        head=Head((Operation("affine", {"weight": weight, "bias": np.zeros(3, np.float32)}),)),
        views=views,
        additional_encoders=(
            EncoderInput("lite1", image_preprocessing("lite1", size, "full"), views, 1280),
        ),
    )


def test_features_of_several_towers_are_their_means_over_views_side_by_side(
    pictures: list[Image.Image],
) -> None:
    both = two_towers()
    blocks = []
    for name in ("lite0", "lite1"):
        tower = load_image_encoder(name)
        views = [image_preprocessing(name, 64, view) for view in both.views]
        blocks.append(
            np.mean([pooled_features(tower, view.normalise([view.crop(p) for p in pictures]))
                     for view in views], axis=0)
        )  # fmt: skip
    wanted = np.hstack(blocks)
    np.testing.assert_allclose(both.features(pictures, batch=4), wanted, atol=1e-5)
    np.testing.assert_allclose(
        both.predict_images(pictures, batch=4), both.predict_proba(wanted), atol=1e-5
    )


def test_no_photographs_have_no_rows_and_all_columns() -> None:
    assert two_towers().features([]).shape == (0, 2560)
    assert two_towers().predict_images([]).shape == (0, 3)


def test_a_predictor_of_several_towers_survives_its_folder(tmp_path: Path) -> None:
    both = two_towers()
    both.save(tmp_path / "p")
    again = load_predictor(tmp_path / "p")
    assert again.encoders == both.encoders
    assert [tower.name for tower in again.encoders] == ["lite0", "lite1"]
    features = RNG.normal(size=(4, 2560)).astype(np.float32)
    np.testing.assert_array_equal(again.predict_proba(features), both.predict_proba(features))


def test_a_row_of_the_embed_audit_is_a_tower() -> None:
    tower = two_towers().additional_encoders[0]
    row = {**tower.to_dict(), "parameters": 1, "ms_per_image": 2.0, "backend": "torch"}
    assert EncoderInput.from_dict(json.loads(json.dumps(row))) == tower


def test_the_columns_of_a_corpus_are_stacked_as_the_head_wants_them() -> None:
    both = two_towers()
    first, second = (np.full((2, 1280), value, np.float32) for value in (1, 2))
    arrays = {"additional.lite1": second, "additional.lite2": first, "features": first}
    np.testing.assert_array_equal(both.stack(arrays), np.hstack([first, second]))
    np.testing.assert_array_equal(replace(both, additional_encoders=()).stack(arrays), first)
    with pytest.raises(UserFacingError, match="encoder lite1: are not there"):
        both.stack({"features": first})


def test_columns_of_one_tower_are_refused_by_a_head_over_two() -> None:
    with pytest.raises(ValueError, match="1280 columns, wanted 1280 of lite0 \\+ 1280 of lite1"):
        two_towers().predict_proba(np.zeros((1, 1280), np.float32))


def test_the_module_says_what_the_features_of_one_view_say(pictures: list[Image.Image]) -> None:
    one = two_towers(views=("full",))
    pixels = np.stack([one.preprocessing.to_array(picture) for picture in pictures])
    with torch.inference_mode():
        logits = one.module()(torch.from_numpy(pixels)).numpy()
    np.testing.assert_allclose(softmax(logits), one.predict_images(pictures), atol=1e-4)


def test_the_module_resizes_for_a_companion_of_another_size(pictures: list[Image.Image]) -> None:
    module = two_towers(views=("full",), size=96).module()
    pixels = torch.zeros(1, 3, 64, 64)
    module.additional_encoders[0].encoder.conv_stem.register_forward_pre_hook(
        lambda _, given: seen.append(given[0].shape)
    )
    seen: list[torch.Size] = []
    with torch.inference_mode():
        assert module(pixels).shape == (1, 3)
    assert seen == [(1, 3, 96, 96)]


def test_an_own_tower_is_the_first_one_alone(tmp_path: Path) -> None:
    weights = {
        key: value.numpy() for key, value in load_image_encoder("lite0").state_dict().items()
    }
    weights["conv_head.weight"] = weights["conv_head.weight"] * 0.5
    replace(two_towers(), encoder_weights=weights).save(tmp_path / "p")
    module = load_predictor(tmp_path / "p").module()
    kept = module.encoder.state_dict()["conv_head.weight"].numpy()
    np.testing.assert_array_equal(kept, weights["conv_head.weight"])
    packaged = load_image_encoder("lite1").state_dict()["conv_head.weight"]
    assert torch.equal(
        module.additional_encoders[0].encoder.state_dict()["conv_head.weight"], packaged
    )


def test_a_threshold_travels_in_the_folder_and_refuses_what_lies_below(
    predictor: Predictor, tmp_path: Path
) -> None:
    replace(predictor, threshold=0.625).save(tmp_path / "p")
    again = load_predictor(tmp_path / "p")
    assert again.threshold == 0.625
    rows = np.array([[0.625, 0.375, 0.0], [0.2, 0.62, 0.18]])
    assert again.answers(rows) == ["Baseball", "none of these"]


@pytest.mark.parametrize(
    "harm",
    [
        lambda record: record.update(threshold=1.5),
        lambda record: record.update(threshold="high"),
        lambda record: record.pop("encoders"),
        lambda record: record["encoders"][0].pop("preprocessing"),
        lambda record: record["encoders"].clear(),
        lambda record: record.update(head=["squeeze"]),
        lambda record: record.update(head=["affine"] * 3),
        lambda record: record["encoders"][0]["preprocessing"].update(view="sideways"),
    ],
)
def test_a_record_that_lacks_something_is_refused_in_one_line(
    predictor: Predictor, tmp_path: Path, harm: Callable[[dict[str, Any]], object]
) -> None:
    predictor.save(tmp_path / "p")
    file = tmp_path / "p" / "predictor.json"
    record = json.loads(file.read_text())
    harm(record)
    file.write_text(json.dumps(record))
    with pytest.raises(UserFacingError, match=r"is not a valid description.*--pipelines=finetune"):
        load_predictor(tmp_path / "p")


@pytest.mark.parametrize("text", ["[]", "{}", "{", "null"])
def test_a_file_that_is_no_record_is_no_predictor(
    predictor: Predictor, tmp_path: Path, text: str
) -> None:
    predictor.save(tmp_path / "p")
    (tmp_path / "p" / "predictor.json").write_text(text)
    with pytest.raises(UserFacingError, match="is no whole predictor"):
        load_predictor(tmp_path / "p")
