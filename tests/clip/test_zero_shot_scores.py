from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sports_clip_pipeline.clip.zero_shot import NamedClasses, ZeroShotScores, hubness, named_in
from sports_clip_pipeline.predictor.head import Operation, softmax

RNG = np.random.default_rng(0)


def unit(values: np.ndarray) -> np.ndarray:
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def witnesses(widths: tuple[int, ...] = ()) -> ZeroShotScores:
    """Six features, three classes, five named ones, spaces of four and two dimensions."""
    named = NamedClasses(
        RNG.normal(size=(5, 6)).astype(np.float32),
        RNG.normal(size=5).astype(np.float32),
        unit(RNG.normal(size=(5, 2))).astype(np.float32),
    )
    weight = RNG.normal(size=(4, 6)).astype(np.float32)
    affine = Operation("affine", {"weight": weight, "bias": np.ones(4, np.float32)})
    return ZeroShotScores(
        (affine, Operation("l2_normalise")),
        unit(RNG.normal(size=(3, 4))).astype(np.float32),
        10.0,
        named,
        unit(RNG.normal(size=(3, 2))).astype(np.float32),
        widths,
    )


def naive(
    parts: ZeroShotScores, features: np.ndarray, weight: float, bias: np.ndarray
) -> np.ndarray:
    arrays = parts.embed[0].arrays
    image = unit(features @ arrays["weight"].T + arrays["bias"])
    shares = softmax(features @ parts.named.weight.T + parts.named.bias)
    words = unit(shares @ parts.named.words)
    cosines = image @ parts.anchors.T + weight * words @ parts.prompts.T
    return parts.logit_scale * cosines + bias


@pytest.mark.parametrize("weight", [0.0, 0.3])
def test_the_head_adds_the_cosines_of_both_witnesses_and_the_bias(weight: float) -> None:
    parts, features = witnesses(), RNG.normal(size=(7, 6)).astype(np.float32)
    bias = np.array([0.5, -1.0, 0.0])
    found = parts.head(weight, bias)(features)
    np.testing.assert_allclose(found, naive(parts, features, weight, bias), atol=1e-4)


@pytest.mark.parametrize("weight", [0.0, 0.3])
def test_of_stacked_features_it_reads_the_first_tower(weight: float) -> None:
    parts, features = witnesses((6, 3)), RNG.normal(size=(7, 6)).astype(np.float32)
    stacked = np.hstack([features, RNG.normal(size=(7, 3)).astype(np.float32)])
    alone = parts.head(weight, single=True)(features)
    np.testing.assert_array_equal(parts.head(weight)(stacked), alone)


def test_hubness_is_the_log_of_the_mean_odds() -> None:
    logits = np.log([[1.0, 4.0], [3.0, 4.0]])
    np.testing.assert_allclose(hubness(logits), np.log([2.0, 4.0]))
    np.testing.assert_allclose(hubness(logits + 1000.0), 1000.0 + np.log([2.0, 4.0]))


def test_without_its_hubness_each_class_draws_the_same_from_those_photographs() -> None:
    logits = RNG.normal(size=(50, 4)) + np.arange(4)
    np.testing.assert_allclose(np.exp(logits - hubness(logits)).mean(axis=0), 1.0)


def test_a_sure_image_is_described_by_the_one_name() -> None:
    words = np.eye(3, dtype=np.float32)
    named = NamedClasses(100.0 * np.eye(3, dtype=np.float32), np.zeros(3, np.float32), words)
    np.testing.assert_allclose(named.describe(np.eye(3)[[1]]), [[0, 1, 0]], atol=1e-6)


def test_a_tower_that_names_no_classes_is_described_like_nothing_and_adds_nothing() -> None:
    parts = replace(witnesses(), named=None)
    features = RNG.normal(size=(5, 6)).astype(np.float32)
    np.testing.assert_array_equal(parts.describe(features), np.zeros((5, 2)))
    np.testing.assert_array_equal(parts.head(0.3)(features), parts.head(0.0)(features))


@pytest.mark.parametrize("widths", [(), (6, 3)])
def test_the_named_classes_are_found_again_in_a_head(widths: tuple[int, ...]) -> None:
    parts = witnesses(widths)
    found = named_in(parts.head(0.3))
    for name in ("weight", "bias", "words"):
        np.testing.assert_array_equal(getattr(found, name), getattr(parts.named, name))


def test_no_named_classes_are_found_in_a_head_that_counts_none() -> None:
    assert named_in(witnesses((6, 3)).head(0.0)) is None
    assert named_in(replace(witnesses(), named=None).head(0.3)) is None
