from dataclasses import replace

import numpy as np
import pytest
import torch

from sports_clip_pipeline.encoders.image_encoders import image_preprocessing, pooled
from sports_clip_pipeline.predictor.encoder_classifier import AdditionalEncoder, EncoderClassifier
from sports_clip_pipeline.predictor.head import Head, affine
from sports_clip_pipeline.predictor.predictor import EncoderInput, Predictor

SEEN = image_preprocessing("lite0", 64, "full")
PIXELS = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def both() -> EncoderClassifier:
    encoders = (
        EncoderInput("lite0", SEEN, (), 1280),
        EncoderInput("lite1", image_preprocessing("lite1", 64, "full"), (), 1280),
    )
    head = Head((affine(np.random.default_rng(0).normal(size=(3, 2560))),))
    return Predictor(("a", "b", "c"), encoders, head).module()


def test_the_head_takes_the_first_encoders_columns_first(both: EncoderClassifier) -> None:
    with torch.inference_mode():
        features = [pooled(encoder, PIXELS) for encoder in both.all_encoders()]
        torch.testing.assert_close(both(PIXELS), both.head(torch.cat(features, dim=1)))


def test_an_additional_encoder_with_the_same_preprocessing_gets_the_same_pixels() -> None:
    additional = AdditionalEncoder("lite0", SEEN, SEEN).eval()
    with torch.inference_mode():
        assert torch.equal(additional(PIXELS), pooled(additional.encoder, PIXELS))


def test_an_additional_encoder_resizes_and_renormalises_the_pixels() -> None:
    target = replace(SEEN, size=96, mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 1.0))
    additional = AdditionalEncoder("lite0", target, SEEN)
    inputs: list[torch.Tensor] = []
    additional.encoder.conv_stem.register_forward_pre_hook(lambda _, x: inputs.append(x[0]))
    with torch.inference_mode():
        additional((torch.full((1, 3, 64, 64), 0.25) - 0.5) / 0.5)
    channels = (0.25 - torch.tensor(target.mean)) / torch.tensor(target.std)
    torch.testing.assert_close(inputs[0], channels.reshape(1, 3, 1, 1).expand(1, 3, 96, 96))


def test_gradients_reach_the_pixels_through_every_encoder(both: EncoderClassifier) -> None:
    leaf = PIXELS[:1].clone().requires_grad_()
    (total,) = torch.autograd.grad(both(leaf)[0, 0], leaf)
    weight = both.head.get_buffer("0.weight")
    with torch.no_grad():
        original = weight.clone()
        weight[:, 1280:] = 0.0
    (first,) = torch.autograd.grad(both(leaf)[0, 0], leaf)
    with torch.no_grad():
        weight.copy_(original)
    assert first.abs().sum() > 0
    assert not torch.allclose(total, first)


def test_with_another_head_the_encoders_are_shared(both: EncoderClassifier) -> None:
    other = both.with_head(Head((affine(np.ones((2, 2560))),)))
    assert other.encoder is both.encoder and other.additional_encoders is both.additional_encoders
    with torch.inference_mode():
        features = [pooled(encoder, PIXELS) for encoder in both.all_encoders()]
        total = torch.cat(features, dim=1).sum(dim=1, keepdim=True)
        torch.testing.assert_close(other(PIXELS), total.expand(-1, 2), rtol=1e-4, atol=1e-3)
        assert both(PIXELS).shape == (2, 3)
