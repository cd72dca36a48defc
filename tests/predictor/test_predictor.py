import json
from collections.abc import Callable
from dataclasses import asdict, replace
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
from sports_clip_pipeline.predictor import predictor as predictor_module
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
        encoders=(EncoderInput("lite0", image_preprocessing("lite0", 64, "full"), (), 1280),),
        head=Head((Operation("l2_normalise"), Operation("affine", arrays))),
        temperature=0.5,
        origin={"method": "test"},
    )


def test_a_predictor_is_loaded_from_a_moved_folder(predictor: Predictor, tmp_path: Path) -> None:
    predictor.save(tmp_path / "a")
    (tmp_path / "a").rename(tmp_path / "b")
    again = load_predictor(tmp_path / "b")
    features = RNG.normal(size=(4, 1280)).astype(np.float32)
    np.testing.assert_array_equal(again.predict_proba(features), predictor.predict_proba(features))
    for name in ("classes", "encoders", "temperature", "origin", "encoder_weights"):
        assert getattr(again, name) == getattr(predictor, name)


def test_the_temperature_divides_the_logits(predictor: Predictor) -> None:
    features = RNG.normal(size=(4, 1280)).astype(np.float32)
    expected = softmax(predictor.head(features) / 0.5)
    np.testing.assert_allclose(predictor.predict_proba(features), expected)


def test_predictions_of_images_agree_with_those_of_their_features(
    predictor: Predictor, pictures: list[Image.Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predictor_module, "_BATCH", 4)
    pixels = np.stack([predictor.preprocessing.to_array(picture) for picture in pictures])
    encoder = load_image_encoder("lite0")
    with torch.inference_mode():
        maps = encoder.forward_features(torch.from_numpy(pixels))
        features = encoder.forward_head(maps, pre_logits=True).numpy()
    expected = predictor.predict_proba(features)
    np.testing.assert_allclose(predictor.predict_images(pictures), expected, atol=1e-4)


def test_damaged_folders_are_refused_with_the_remedy(predictor: Predictor, tmp_path: Path) -> None:
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


def two_encoders(views: tuple[str, ...] = ("full", "centre"), size: int = 64) -> Predictor:
    """Lite0 first, then Lite1; an affine head whose logits tell the columns apart."""
    weight = RNG.normal(size=(3, 2560)).astype(np.float32)
    return Predictor(
        classes=("Baseball", "Chess", "Kabaddi"),
        encoders=(
            EncoderInput("lite0", image_preprocessing("lite0", 64, "full"), views, 1280),
            EncoderInput("lite1", image_preprocessing("lite1", size, "full"), views, 1280),
        ),
        head=Head((Operation("affine", {"weight": weight, "bias": np.zeros(3, np.float32)}),)),
    )


def test_features_are_means_over_views_concatenated_over_encoders(
    pictures: list[Image.Image],
) -> None:
    both = two_encoders()
    blocks = []
    for name in ("lite0", "lite1"):
        encoder = load_image_encoder(name)
        views = [image_preprocessing(name, 64, view) for view in both.encoders[0].views]
        blocks.append(
            np.mean([pooled_features(encoder, view.normalise([view.crop(p) for p in pictures]))
                     for view in views], axis=0)
        )  # fmt: skip
    expected = np.hstack(blocks)
    np.testing.assert_allclose(both.features(pictures), expected, atol=1e-5)
    probabilities = both.predict_proba(expected)
    np.testing.assert_allclose(both.predict_images(pictures), probabilities, atol=1e-5)


def test_no_images_give_no_rows() -> None:
    assert two_encoders().features([]).shape == (0, 2560)
    assert two_encoders().predict_images([]).shape == (0, 3)


def test_a_predictor_of_several_encoders_is_loaded(tmp_path: Path) -> None:
    both = two_encoders()
    both.save(tmp_path / "p")
    again = load_predictor(tmp_path / "p")
    assert again.encoders == both.encoders
    assert [encoder.name for encoder in again.encoders] == ["lite0", "lite1"]
    features = RNG.normal(size=(4, 2560)).astype(np.float32)
    np.testing.assert_array_equal(again.predict_proba(features), both.predict_proba(features))


def test_a_row_of_the_embed_audit_is_an_encoder_input() -> None:
    encoder = two_encoders().encoders[1]
    row = {**asdict(encoder), "parameters": 1, "ms_per_image": 2.0, "backend": "torch"}
    assert EncoderInput.from_dict(json.loads(json.dumps(row))) == encoder


def test_features_of_one_encoder_are_refused_by_a_predictor_of_two() -> None:
    with pytest.raises(ValueError, match="1280 columns, wanted 1280 of lite0 \\+ 1280 of lite1"):
        two_encoders().predict_proba(np.zeros((1, 1280), np.float32))


def test_the_module_agrees_with_features_of_one_view(pictures: list[Image.Image]) -> None:
    one = two_encoders(views=("full",))
    pixels = np.stack([one.preprocessing.to_array(picture) for picture in pictures])
    with torch.inference_mode():
        logits = one.module()(torch.from_numpy(pixels)).numpy()
    np.testing.assert_allclose(softmax(logits), one.predict_images(pictures), atol=1e-4)


def test_trained_weights_are_those_of_the_first_encoder_alone(tmp_path: Path) -> None:
    weights = {
        key: value.numpy() for key, value in load_image_encoder("lite0").state_dict().items()
    }
    weights["conv_head.weight"] = weights["conv_head.weight"] * 0.5
    replace(two_encoders(), encoder_weights=weights).save(tmp_path / "p")
    assert json.loads((tmp_path / "p/predictor.json").read_text())["encoder_weights"] == "own"
    module = load_predictor(tmp_path / "p").module()
    loaded = module.encoder.state_dict()["conv_head.weight"].numpy()
    np.testing.assert_array_equal(loaded, weights["conv_head.weight"])
    packaged = load_image_encoder("lite1").state_dict()["conv_head.weight"]
    assert torch.equal(
        module.additional_encoders[0].encoder.state_dict()["conv_head.weight"], packaged
    )


def test_the_threshold_is_stored_and_abstains_below(predictor: Predictor, tmp_path: Path) -> None:
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
def test_an_invalid_record_is_refused_in_one_line(
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
def test_a_file_without_a_record_is_refused(
    predictor: Predictor, tmp_path: Path, text: str
) -> None:
    predictor.save(tmp_path / "p")
    (tmp_path / "p" / "predictor.json").write_text(text)
    with pytest.raises(UserFacingError, match="is no whole predictor"):
        load_predictor(tmp_path / "p")
