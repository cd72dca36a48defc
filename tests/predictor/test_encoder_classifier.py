from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from sports_clip_pipeline.encoders.image_encoders import image_preprocessing
from sports_clip_pipeline.predictor.encoder_classifier import (
    AdditionalEncoder,
    EncoderClassifier,
    pooled,
)
from sports_clip_pipeline.predictor.head import Head, Operation

SEEN = image_preprocessing("lite0", 64, "full")
PIXELS = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def head(width: int) -> Head:
    random = np.random.default_rng(0)
    weight = random.normal(size=(3, width)).astype(np.float32)
    return Head((Operation("affine", {"weight": weight, "bias": np.zeros(3, np.float32)}),))


@pytest.fixture(scope="module")
def both() -> EncoderClassifier:
    companion = AdditionalEncoder("lite1", image_preprocessing("lite1", 64, "full"), SEEN)
    return EncoderClassifier("lite0", {}, head(2560), [companion]).eval()


def test_the_head_sees_the_first_towers_columns_first(both: EncoderClassifier) -> None:
    with torch.inference_mode():
        parts = [
            pooled(tower, PIXELS) for tower in (both.encoder, both.additional_encoders[0].encoder)
        ]
        wanted = both.head(torch.cat(parts, dim=1))
        torch.testing.assert_close(both(PIXELS), wanted)


def test_a_companion_of_the_same_preprocessing_sees_the_very_same_pixels() -> None:
    companion = AdditionalEncoder("lite0", SEEN, SEEN).eval()
    with torch.inference_mode():
        assert torch.equal(companion(PIXELS), pooled(companion.encoder, PIXELS))


def test_a_companion_normalises_anew_what_the_first_tower_was_given() -> None:
    wanted = replace(SEEN, mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 1.0))
    companion = AdditionalEncoder("lite0", wanted, SEEN)
    seen: list[torch.Tensor] = []
    companion.encoder.conv_stem.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    raw = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        companion((raw - 0.5) / 0.5)
    by_hand = (raw - torch.tensor(wanted.mean).reshape(1, 3, 1, 1)) / torch.tensor(
        wanted.std
    ).reshape(1, 3, 1, 1)
    torch.testing.assert_close(seen[0], by_hand)


def test_a_companion_of_another_size_gets_the_pixels_resized() -> None:
    companion = AdditionalEncoder("lite0", replace(SEEN, size=96), SEEN)
    seen: list[torch.Tensor] = []
    companion.encoder.conv_stem.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    with torch.inference_mode():
        companion(torch.full((1, 3, 64, 64), 0.25))
    assert seen[0].shape == (1, 3, 96, 96)
    torch.testing.assert_close(seen[0], torch.full((1, 3, 96, 96), 0.25))


def test_gradients_reach_the_pixels_through_every_tower(both: EncoderClassifier) -> None:
    leaf = PIXELS[:1].clone().requires_grad_()
    (whole,) = torch.autograd.grad(both(leaf)[0, 0], leaf)
    weight = both.head.get_buffer("0_weight")
    with torch.no_grad():
        kept = weight.clone()
        weight[:, 1280:] = 0.0
    (first,) = torch.autograd.grad(both(leaf)[0, 0], leaf)
    with torch.no_grad():
        weight.copy_(kept)
    assert first.abs().sum() > 0
    assert not torch.allclose(whole, first)


def test_under_another_head_the_same_towers_answer_and_the_first_head_stays(
    both: EncoderClassifier,
) -> None:
    weight = np.ones((2, 2560), np.float32)
    other = both.with_head(
        Head((Operation("affine", {"weight": weight, "bias": np.zeros(2, np.float32)}),))
    )
    assert other.encoder is both.encoder and other.additional_encoders is both.additional_encoders
    with torch.inference_mode():
        features = [
            pooled(tower, PIXELS) for tower in (both.encoder, both.additional_encoders[0].encoder)
        ]
        total = torch.cat(features, dim=1).sum(dim=1, keepdim=True)
        torch.testing.assert_close(other(PIXELS), total.expand(-1, 2), rtol=1e-4, atol=1e-3)
        assert both(PIXELS).shape == (2, 3)
