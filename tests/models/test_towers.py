from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.models import towers
from sports_clip_pipeline.models.tokenizers import caption_tokenizer
from sports_clip_pipeline.preprocessing.captions import pad


@pytest.mark.parametrize("name", sorted(towers.IMAGE_TOWERS))
def test_the_lite_towers_were_trained_on_pixels_from_minus_one_to_one(name: str) -> None:
    preprocessing = towers.image_preprocessing(name, 64, "full")
    assert preprocessing.mean == preprocessing.std == (0.5, 0.5, 0.5)
    white = preprocessing.to_array(Image.new("RGB", (50, 70), "white"))
    assert white.shape == (3, 64, 64)
    np.testing.assert_array_equal(white, 1.0)


@pytest.mark.parametrize("name", sorted(towers.IMAGE_TOWERS))
def test_pooled_image_features_give_the_towers_own_logits(name: str) -> None:
    trunk = towers.load_image_tower(name)
    pixels = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        features, logits = towers.PooledImageTower(trunk)(pixels)
        torch.testing.assert_close(logits, trunk(pixels))
    assert features.shape == (2, towers.image_tower_spec(name).width)
    assert not trunk.training


def test_pooled_text_features_ignore_the_padding() -> None:
    tower = towers.PooledTextTower(towers.load_text_tower("minilm")).eval()
    short, long = caption_tokenizer("minilm", 64)(
        ["a man bowls", "two teams in red play kabaddi on a mat in a full hall"]
    ).ids
    with torch.inference_mode():
        both = tower(*map(torch.from_numpy, pad([short, long])))
        alone = tower(*map(torch.from_numpy, pad([short])))
    torch.testing.assert_close(both[:1], alone, atol=1e-5, rtol=1e-4)
    assert both.shape == (2, towers.text_tower_spec("minilm").width)


def test_sentences_of_one_meaning_are_near_each_other() -> None:
    tower = towers.PooledTextTower(towers.load_text_tower("minilm")).eval()
    ids = caption_tokenizer("minilm", 64)(
        ["a man swims in a pool", "a swimmer in the water", "a chess board on a table"]
    ).ids
    with torch.inference_mode():
        emb = torch.nn.functional.normalize(tower(*map(torch.from_numpy, pad(ids))), dim=1)
    cosine = emb @ emb.T
    assert float(cosine[0, 1]) > float(cosine[0, 2]) + 0.2


def test_unknown_towers_are_refused_with_the_known_ones() -> None:
    with pytest.raises(UserFacingError, match=r"image tower 'lite9'.*lite0, lite1, lite2"):
        towers.load_image_tower("lite9")
    with pytest.raises(UserFacingError, match=r"text tower 'bert'.*minilm"):
        towers.text_tower_spec("bert")


def test_weights_that_are_not_the_known_ones_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec = towers.IMAGE_TOWERS["lite0"]
    other = dataclasses.replace(spec.weights, sha256="0" * 64)
    monkeypatch.setitem(towers.IMAGE_TOWERS, "lite0", dataclasses.replace(spec, weights=other))
    with pytest.raises(UserFacingError, match=r"sha256 is 579344248a93e230.*reinstall"):
        towers.load_image_tower("lite0")


def test_a_package_that_is_not_installed_is_named() -> None:
    with pytest.raises(UserFacingError, match="no-such-package-here: is not installed"):
        _ = towers.PackagedFile("no_such_package_here", "x", "0").path


def test_weights_that_do_not_fit_the_architecture_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec = dataclasses.replace(towers.IMAGE_TOWERS["lite0"], architecture="tf_efficientnet_lite2")
    monkeypatch.setitem(towers.IMAGE_TOWERS, "lite0", spec)
    with pytest.raises(ValueError, match="do not fit"):
        towers.load_image_tower("lite0")


def test_the_text_tower_is_a_folder_with_its_tokenizer() -> None:
    folder: Path = towers.text_tower_spec("minilm").folder
    assert (folder / "tokenizer.json").is_file()
    assert (folder / "config.json").is_file()
