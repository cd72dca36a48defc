"""What each method begins with."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.models.unit_norm import unit_norm
from sports_clip_pipeline.pipelines.finetune.config import END_TO_END_METHODS
from sports_clip_pipeline.training.pixels.classifier import PixelClassifier
from sports_clip_pipeline.training.pixels.methods import find_pixel_method
from tests.training.pixels.making import FAST, Start, VitStart, anchors, prompts, start

PIXELS = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def built(method: str, begin: Start | None = None, seed: int = 0) -> PixelClassifier:
    own = VitStart("lite0", anchors(16), prompts()) if method == "lora" else start()
    return find_pixel_method(method).build(begin or own, FAST, seed).eval()


@pytest.mark.parametrize("method", END_TO_END_METHODS)
def test_the_exported_head_gives_the_classifiers_own_logits(method: str) -> None:
    model = built(method)
    for parameter in model.head.parameters():
        noise = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
        parameter.data.add_(0.1 * noise)
    with torch.no_grad():
        features, logits = model.features(PIXELS), model(PIXELS)
    np.testing.assert_allclose(model.head.exported()(features.numpy()), logits, atol=1e-4)


@pytest.mark.parametrize("method", ["last_blocks", "wise_ft", "lora"])
def test_a_zero_shot_start_answers_by_cosines_to_the_anchors(method: str) -> None:
    model = built(method)
    known = anchors(16 if method == "lora" else 1280)
    with torch.no_grad():
        features, logits = model.features(PIXELS).numpy(), model(PIXELS)
    embedded = unit_norm(features @ known.image_weight.T + known.image_bias)
    np.testing.assert_allclose(logits, 10.0 * embedded @ known.anchors.T, atol=1e-4)


def test_the_contrastive_start_answers_by_cosines_to_its_prompts_means() -> None:
    model, said = built("flyp"), prompts()
    embedded = unit_norm(said.features @ said.text_weight.T).reshape(3, 2, -1)
    points = unit_norm(embedded.mean(axis=1))
    weights = model.head.class_weights().detach()
    np.testing.assert_allclose(weights, 10.0 * points, atol=1e-4)


def test_random_weights_are_not_imagenets_and_follow_the_seed() -> None:
    first, same, other = (built("full_random", seed=seed) for seed in (0, 0, 1))
    name = "conv_stem.weight"
    kernels = [model.tower.state_dict()[name] for model in (first, same, other)]
    packaged = built("full_imagenet").tower.state_dict()[name]
    assert torch.equal(kernels[0], kernels[1])
    assert not torch.equal(kernels[0], kernels[2])
    assert not torch.allclose(kernels[0], packaged, atol=1e-2)


def test_a_tower_that_pretraining_unlocked_is_where_zero_shot_starts() -> None:
    weights = {name: value.numpy() for name, value in start().pretrained().state_dict().items()}
    weights["conv_stem.weight"] = weights["conv_stem.weight"] + 1.0
    begin = dataclasses.replace(start(), clip_weights=weights)
    for method, moved in (("wise_ft", True), ("flyp", True), ("full_imagenet", False)):
        kernel = built(method, begin).tower.state_dict()["conv_stem.weight"].numpy()
        assert np.array_equal(kernel, weights["conv_stem.weight"]) == moved


def test_more_blocks_than_the_tower_has_are_refused() -> None:
    config = FAST.model_copy(update={"last_blocks": 8})
    with pytest.raises(UserFacingError, match=r"pixels\.last_blocks.*wanted 8 of the tower's 7"):
        find_pixel_method("last_blocks").build(start(), config, 0)


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(ValueError, match="method is one of"):
        find_pixel_method("dropout")
