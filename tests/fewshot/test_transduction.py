from __future__ import annotations

import numpy as np
import pytest

from sports_clip_pipeline.fewshot.transduction import transduce, zero_shot_with_unlabelled
from sports_clip_pipeline.pipelines.zero_shot.config import TRANSDUCTIONS, TransductionConfig
from sports_clip_pipeline.predictor.head import Head, Operation, softmax
from tests.fewshot.factories import WIDTH, pretrained, toy

CLASSES = 4
FEATURES, TARGET = toy(280, CLASSES)
OTHERS, TRUTH = toy(120, CLASSES, seed=5)
SCALED = pretrained(CLASSES).scaled(root=True)
CONFIG = TransductionConfig()


def muddled(seed: int = 3) -> Head:
    """A zero-shot classifier that sees each class's direction through noise."""
    rng = np.random.default_rng(seed)
    weight = np.eye(CLASSES, WIDTH) + rng.normal(0, 0.6, (CLASSES, WIDTH))
    arrays = {"weight": 2 * weight.astype(np.float32), "bias": np.zeros(CLASSES, np.float32)}
    return Head((Operation("affine", arrays),))


def right(logits: np.ndarray, target: np.ndarray) -> float:
    return float((logits.argmax(axis=1) == target).mean())


def test_the_mixture_learns_from_images_without_labels() -> None:
    poor = muddled()
    assert right(poor(OTHERS), TRUTH) < 0.8
    better = zero_shot_with_unlabelled(FEATURES, poor, SCALED, CONFIG)
    assert right(better(OTHERS), TRUTH) > 0.95


@pytest.mark.parametrize("method", TRANSDUCTIONS)
def test_the_head_agrees_with_the_probabilities_of_the_images_it_saw(method: str) -> None:
    found = transduce(method, FEATURES, muddled(), SCALED, CONFIG)
    assert found.probabilities.shape == (280, CLASSES)
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1.0, atol=1e-5)
    said = found.head(FEATURES).argmax(axis=1)
    assert (said == found.probabilities.argmax(axis=1)).mean() > 0.98


@pytest.mark.parametrize("method", TRANSDUCTIONS)
def test_the_order_of_the_images_does_not_matter(method: str) -> None:
    order = np.random.default_rng(0).permutation(280)
    one = transduce(method, FEATURES, muddled(), SCALED, CONFIG)
    two = transduce(method, FEATURES[order], muddled(), SCALED, CONFIG)
    np.testing.assert_allclose(two.probabilities, one.probabilities[order], atol=2e-3)


@pytest.mark.parametrize("method", TRANSDUCTIONS)
def test_an_endless_pull_is_zero_shot(method: str) -> None:
    poor = muddled()
    config = CONFIG.model_copy(update={"prior_strength": 1e5, "balance_rounds": 0})
    found = transduce(method, FEATURES, poor, SCALED, config)
    np.testing.assert_array_equal(found.probabilities.argmax(axis=1), poor(FEATURES).argmax(axis=1))
    np.testing.assert_array_equal(found.head(OTHERS).argmax(axis=1), poor(OTHERS).argmax(axis=1))
    assert found.prior == "none"


def test_balanced_assignment_makes_the_shares_even() -> None:
    biased = Head((*muddled().operations, shift([3.0, 0.0, 0.0, 0.0])))
    config = CONFIG.model_copy(update={"balance_rounds": 500})
    found = transduce("balanced_assignment", FEATURES, biased, SCALED, config)
    np.testing.assert_allclose(found.probabilities.mean(axis=0), 0.25, atol=1e-4)
    assert found.prior == "uniform"


def test_balanced_assignment_undoes_a_bias_of_the_zero_shot_classifier() -> None:
    biased = Head((*muddled().operations, shift([3.0, 0.0, -1.0, 0.0])))
    config = CONFIG.model_copy(update={"balance_rounds": 500})
    plain, other = (
        transduce("balanced_assignment", FEATURES, head, SCALED, config).probabilities
        for head in (muddled(), biased)
    )
    np.testing.assert_allclose(other, plain, atol=1e-4)


def test_probabilities_are_no_bolder_than_the_zero_shot_ones_allow() -> None:
    poor = muddled()
    found = zero_shot_with_unlabelled(FEATURES, poor, SCALED, CONFIG)
    belief, logits = softmax(poor(FEATURES)), found(FEATURES)

    def expected_loss(factor: float) -> float:
        return float(-(belief * np.log(softmax(logits * factor) + 1e-300)).sum(axis=1).mean())

    assert expected_loss(1.0) <= min(expected_loss(0.9), expected_loss(1.1))


def test_few_images_are_a_plain_case() -> None:
    for method in TRANSDUCTIONS:
        found = transduce(method, FEATURES[:5], muddled(), SCALED, CONFIG)
        assert np.isfinite(found.head(OTHERS)).all()


def shift(bias: list[float]) -> Operation:
    arrays = {"weight": np.eye(CLASSES, dtype=np.float32), "bias": np.asarray(bias, np.float32)}
    return Operation("affine", arrays)
