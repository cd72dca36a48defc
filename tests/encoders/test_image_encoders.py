import dataclasses
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from sports_clip_pipeline.encoders import image_encoders
from sports_clip_pipeline.encoders.image_encoders import imagenet_classes
from sports_clip_pipeline.encoders.weights import HubFile
from sports_clip_pipeline.errors import UserFacingError
from tests.encoders.factories import ARCHITECTURE, write_image_encoder


@pytest.mark.parametrize("name", sorted(image_encoders.IMAGE_ENCODERS))
def test_the_lite_encoders_take_pixels_from_minus_one_to_one(name: str) -> None:
    preprocessing = image_encoders.image_preprocessing(name, 64, "full")
    assert preprocessing.mean == preprocessing.std == (0.5, 0.5, 0.5)
    white = preprocessing.to_array(Image.new("RGB", (50, 70), "white"))
    assert white.shape == (3, 64, 64)
    np.testing.assert_array_equal(white, 1.0)


@pytest.mark.parametrize("name", sorted(image_encoders.IMAGE_ENCODERS))
def test_pooled_features_and_the_classifier_give_the_encoders_own_logits(name: str) -> None:
    trunk = image_encoders.load_image_encoder(name)
    pixels = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    weight, bias = image_encoders.image_encoder(name).imagenet_classifier()
    with torch.inference_mode():
        features, logits = image_encoders.PooledImageEncoder(trunk)(pixels)
        torch.testing.assert_close(logits, trunk(pixels))
    assert features.shape == (2, image_encoders.image_encoder(name).width)
    assert not trunk.training
    pooled = image_encoders.pooled_features(trunk, pixels.numpy())
    np.testing.assert_allclose(pooled @ weight.T + bias, logits, atol=1e-4)
    assert (weight.shape, bias.shape) == ((1000, 1280), (1000,))
    assert (weight.dtype, bias.dtype) == (np.float32, np.float32)


def test_unknown_encoders_are_refused_with_suggestions() -> None:
    with pytest.raises(UserFacingError, match=r"image encoder 'lite9'.*lite0, lite1, lite2"):
        image_encoders.load_image_encoder("lite9")
    with pytest.raises(UserFacingError, match=r"'timm/resnet5'.*use one of .*resnet5"):
        image_encoders.load_image_encoder("timm/resnet5")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": {"checksum": "0" * 64}}, r"sha256 is 579344248a93e230.*reinstall"),
        ({"architecture": "tf_efficientnet_lite2"}, "do not fit"),
    ],
)
def test_other_weights_or_another_architecture_are_refused(
    monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], message: str
) -> None:
    spec = image_encoders.IMAGE_ENCODERS["lite0"]
    if "weights" in change:
        change = {"weights": dataclasses.replace(spec.weights, **change["weights"])}
    other = dataclasses.replace(spec, **change)
    monkeypatch.setitem(image_encoders.IMAGE_ENCODERS, "lite0", other)
    with pytest.raises(UserFacingError, match=message):
        image_encoders.load_image_encoder("lite0")


def test_a_timm_encoder_loads_a_local_file(tmp_path: Path) -> None:
    file = write_image_encoder(tmp_path / "weights.safetensors")
    name = f"timm/{ARCHITECTURE}@{file}"
    encoder = image_encoders.load_image_encoder(name)
    for key, value in load_file(file).items():
        torch.testing.assert_close(encoder.state_dict()[key], value)
    pixels = np.zeros((1, 3, 64, 64), np.float32)
    spec = image_encoders.image_encoder(name)
    assert image_encoders.pooled_features(encoder, pixels).shape == (1, spec.width)
    weight, _ = spec.imagenet_classifier()
    np.testing.assert_array_equal(weight, load_file(file)["fc.weight"])


def test_a_file_without_the_classifier_has_no_imagenet_classes(tmp_path: Path) -> None:
    file = write_image_encoder(tmp_path / "whole.safetensors")
    bare = {k: v for k, v in load_file(file).items() if not k.startswith("fc.")}
    save_file(bare, tmp_path / "bare.safetensors")
    name = f"timm/{ARCHITECTURE}@{tmp_path / 'bare.safetensors'}"
    encoder = image_encoders.load_image_encoder(name)
    torch.testing.assert_close(encoder.state_dict()["conv1.0.weight"], bare["conv1.0.weight"])
    assert image_encoders.image_encoder(name).imagenet_classifier() is None


def test_weights_of_another_architecture_are_refused_with_their_count(tmp_path: Path) -> None:
    file = write_image_encoder(tmp_path / "weights.safetensors")
    own = len(timm.create_model("test_vit").state_dict())
    with pytest.raises(UserFacingError, match=rf"of {own} weights .*\d+ missing .*\d+ unexpected"):
        image_encoders.load_image_encoder(f"timm/test_vit@{file}")


def test_weights_with_prefixed_keys_are_refused(tmp_path: Path) -> None:
    file = write_image_encoder(tmp_path / "weights.safetensors")
    prefixed = {f"trunk.{key}": value for key, value in load_file(file).items()}
    save_file(prefixed, tmp_path / "prefixed.safetensors")
    with pytest.raises(UserFacingError, match=rf"{len(prefixed)} unexpected \(trunk\."):
        image_encoders.load_image_encoder(
            f"timm/{ARCHITECTURE}@{tmp_path / 'prefixed.safetensors'}"
        )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("timm/resnet50.no_tag", "pretrained ones are resnet50"),
        ("timm/mobilenetv3_small_050", "not one layer on its pooled features"),
        ("timm/deit_tiny_distilled_patch16_224@random", "not one layer on its pooled features"),
        ("timm/test_resnet@random.bin", "wanted a .safetensors file"),
    ],
)
def test_unsupported_architectures_are_refused(name: str, message: str) -> None:
    with pytest.raises(UserFacingError, match=re.escape(message)):
        image_encoders.image_encoder(name).weights.checked()


def test_a_name_without_tag_has_the_default_weights_of_the_hub() -> None:
    weights = image_encoders.image_encoder("timm/resnet50").weights
    assert isinstance(weights, HubFile)
    assert weights.repository.startswith("timm/resnet50.")


def test_a_vision_transformer_supports_one_size() -> None:
    with pytest.raises(UserFacingError, match=r"takes 224 pixels, got 160"):
        image_encoders.check_image_size("timm/vit_tiny_patch16_224@random", 160)
    image_encoders.check_image_size("timm/resnet50@random", 160)


def test_architectures_with_the_same_file_have_different_digests(tmp_path: Path) -> None:
    file = write_image_encoder(tmp_path / "weights.safetensors")
    one, other = (
        image_encoders.image_encoder(f"timm/{a}@{file}") for a in (ARCHITECTURE, "resnet18")
    )
    assert one.weights.digest("") == other.weights.digest("")
    assert one.digest != other.digest
    packaged = image_encoders.image_encoder("lite0")
    assert packaged.digest == packaged.weights.checksum


def test_random_weights_are_seeded_and_keep_torchs_generator() -> None:
    name = f"timm/{ARCHITECTURE}@random"
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, second = (image_encoders.load_image_encoder(name).state_dict() for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    for key, value in first.items():
        torch.testing.assert_close(second[key], value)
    assert image_encoders.image_encoder(name).imagenet_classifier() is None


@pytest.mark.parametrize(("name", "millions"), [("lite0", 3.37), ("lite1", 4.13), ("lite2", 4.81)])
def test_parameters_are_counted_without_the_classifier(name: str, millions: float) -> None:
    encoder = image_encoders.image_encoder(name)
    whole = sum(weight.numel() for weight in encoder.build().parameters())
    assert encoder.parameter_count() == whole - 1000 * (1280 + 1)
    assert encoder.parameter_count() == pytest.approx(millions * 1e6, rel=0.01)


def test_imagenet_classes_are_in_the_order_of_ilsvrc_2012() -> None:
    names, definitions = imagenet_classes(), imagenet_classes(definitions=True)
    assert len(names) == len(definitions) == 1000
    assert names[0] == "tench, Tinca tinca"
    assert names[999] == "toilet tissue, toilet paper, bathroom tissue"
    assert definitions[981] == "ballplayer, baseball player: an athlete who plays baseball"
