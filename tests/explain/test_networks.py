"""Networks over the packaged tower: what is shuffled, and what they answer."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

from sports_clip_pipeline.clip.folder import load_clip, write_clip_folder
from sports_clip_pipeline.clip.projections import Projections
from sports_clip_pipeline.encoders.image_encoders import image_preprocessing
from sports_clip_pipeline.explain.networks import NetworkPlan
from sports_clip_pipeline.predictor.head import Head, Operation
from sports_clip_pipeline.predictor.predictor import Predictor

PROMPTS = ("a photo of a ball.", "a photo of a field.")


def draw(*shape: int) -> np.ndarray:
    return np.random.default_rng(len(shape)).normal(size=shape).astype(np.float32)


@pytest.fixture(scope="module")
def plan(tmp_path_factory) -> NetworkPlan:
    seen = image_preprocessing("lite0", 64, "centre")
    own = Head((Operation("affine", {"weight": draw(2, 1280), "bias": draw(2)}),))
    predictor = Predictor(("ball", "field"), "lite0", seen, own, temperature=2.0)
    folder = tmp_path_factory.mktemp("networks") / "clip"
    projections = Projections(draw(16, 1280), draw(16), draw(16, 384), 2.0)
    write_clip_folder(folder, projections, "lite0", "minilm", seen, 32)
    embedded = load_clip(folder).embed_texts(PROMPTS)
    return NetworkPlan(
        ("classifier", "prompts"), predictor, folder, PROMPTS, embedded, "auto", batch=2
    )


@pytest.fixture(scope="module")
def networks(plan):
    return pickle.loads(pickle.dumps(plan)).build()  # as in another process


@pytest.fixture(scope="module")
def pixels() -> torch.Tensor:
    return torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_probabilities_are_the_softmax_of_scores_over_the_temperature(networks, pixels):
    for network, temperature in zip(networks, (2.0, 1.0), strict=True):
        with torch.no_grad():
            scores = network.module(pixels).numpy() / temperature
        wanted = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        np.testing.assert_allclose(network.probabilities(pixels), wanted, rtol=2e-3, atol=1e-5)
        np.testing.assert_allclose(
            network.class_probability(1)(pixels), wanted[:, 1], rtol=2e-3, atol=1e-5
        )


def test_the_layers_grid_is_found(networks, pixels):
    assert [network.grid(pixels[0]) for network in networks] == [(2, 2), (2, 2)]


def test_head_and_stages_are_tensors_of_the_very_network(networks):
    for network in networks:
        own = {id(t) for t in (*network.module.parameters(), *network.module.buffers())}
        assert all(id(tensor) in own for tensor in network.head)
        assert all(id(tensor) in own for stage in network.stages for tensor in stage)
        assert len(network.stages) > 3
    assert [tuple(tensor.shape) for tensor in networks[0].head] == [(2, 1280), (2,)]
    assert tuple(networks[1].head[-1].shape) == (2, 16)  # the texts


def test_another_head_or_prompt_is_another_identity(plan):
    from dataclasses import replace

    other = replace(plan.predictor, head=plan.predictor.head.scaled(2.0))
    identities = {
        plan.identity(),
        replace(plan, predictor=other).identity(),
        replace(plan, prompts=("a ball", "a field")).identity(),
        replace(plan, kinds=("classifier",)).identity(),
    }
    assert len(identities) == 4
    assert plan.identity() == replace(plan, batch=7).identity()
