from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from sports_clip_pipeline.clip.folder import LoadedClip
from sports_clip_pipeline.data.transforms import ImageTransform
from sports_clip_pipeline.explain.cam import class_activation_map
from sports_clip_pipeline.explain.networks import TextTarget


class TinyClip(nn.Module):
    """Red, green and blue means are the embedding; a text's counts its letters r, g, b."""

    def __init__(self) -> None:
        super().__init__()
        self.visual = nn.Module()
        self.visual.trunk = nn.Sequential(nn.Conv2d(3, 3, 1, bias=False))
        with torch.no_grad():
            self.visual.trunk[0].weight.copy_(torch.eye(3)[:, :, None, None])
        self.logit_scale = nn.Parameter(torch.tensor(math.log(10.0)))
        self.texts_encoded = 0

    def encode_image(self, pixels: torch.Tensor, normalize: bool) -> torch.Tensor:
        assert normalize
        return functional.normalize(self.visual.trunk(pixels).mean(dim=(2, 3)), dim=1)

    def encode_text(self, tokens: torch.Tensor, normalize: bool) -> torch.Tensor:
        assert normalize
        self.texts_encoded += len(tokens)
        return functional.normalize(tokens.float(), dim=1)


def tokenize(texts: list[str]) -> torch.Tensor:
    return torch.tensor([[text.count(letter) for letter in "rgb"] for text in texts])


@pytest.fixture
def target() -> TextTarget:
    clip = TinyClip().eval()
    loaded = LoadedClip(clip, ImageTransform(2, (0, 0, 0), (1, 1, 1)), tokenize)
    return TextTarget(clip, torch.from_numpy(loaded.embed_texts(["r", "gg", "rb"])))


def test_the_score_is_the_scaled_cosine(target):
    pixels = torch.zeros(1, 3, 2, 2)
    pixels[0, 0] = 3.0
    pixels[0, 1] = 4.0
    scores = target(pixels)[0].detach().numpy()
    np.testing.assert_allclose(scores, [6.0, 8.0, 6.0 / math.sqrt(2)], rtol=1e-6)


def test_the_map_of_a_text_lights_up_what_it_names(target):
    pixels = torch.zeros(1, 3, 2, 2)
    pixels[0, 0, 0, 0] = 1.0
    pixels[0, 1, 1, 1] = 1.0
    red, green = (
        class_activation_map(target, target.encoder[0], pixels, text, image="a.jpg")
        for text in (0, 1)
    )
    np.testing.assert_allclose(red, [[1, 0], [0, 0]], atol=1e-6)
    np.testing.assert_allclose(green, [[0, 0], [0, 1]], atol=1e-6)


def test_texts_are_encoded_once_however_many_images_follow(target):
    for _ in range(3):
        target(torch.rand(1, 3, 2, 2))
    assert target.clip.texts_encoded == 3


def test_the_texts_embeddings_are_unit_norm_and_free_of_any_graph(target):
    np.testing.assert_allclose(target.text_emb.norm(dim=1), 1.0, rtol=1e-6)
    assert not target.text_emb.requires_grad and not target.text_emb.is_inference()
