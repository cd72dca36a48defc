from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from sports_clip_pipeline.fewshot.base import Labelled
from sports_clip_pipeline.fewshot.cross_validation import fit_temperature, log_loss
from sports_clip_pipeline.fewshot.ensemble import blend_with_zero_shot, fit_weights
from sports_clip_pipeline.predictor.head import Head, affine

RNG = np.random.default_rng(0)
TARGET = RNG.integers(0, 3, 400)
GOOD = 2.0 * np.eye(3)[TARGET] + RNG.normal(size=(400, 3))
NOISE = RNG.normal(size=(400, 3))


def test_one_classifier_gets_the_inverse_of_its_temperature() -> None:
    (weight,) = fit_weights([GOOD], TARGET)
    assert weight == pytest.approx(1.0 / fit_temperature(GOOD, TARGET), rel=1e-3)


def test_the_weights_of_a_product_of_known_experts_are_found() -> None:
    """Labels drawn from softmax(2 a + ½ b) are best foretold by just those weights."""
    one, two = RNG.normal(size=(2, 40_000, 3))
    chances = softmax(2.0 * one + 0.5 * two, axis=1)
    target = (chances.cumsum(axis=1) > RNG.random((40_000, 1))).argmax(axis=1)
    np.testing.assert_allclose(fit_weights([one, two], target), [2.0, 0.5], atol=0.05)


def test_no_pair_of_weights_on_a_grid_is_better() -> None:
    weights = fit_weights([GOOD, NOISE], TARGET)
    found = log_loss(weights[0] * GOOD + weights[1] * NOISE, TARGET)
    grid = np.linspace(0.0, 4.0, 41)
    assert found <= min(log_loss(a * GOOD + b * NOISE, TARGET) for a in grid for b in grid) + 1e-6


def test_a_classifier_that_is_wrong_gets_no_weight_rather_than_a_negative_one() -> None:
    wrong = NOISE - np.eye(3)[TARGET]
    weights = fit_weights([GOOD, wrong], TARGET)
    assert weights[0] > 0.5
    assert weights[1] == 0.0


def test_the_candidate_that_helps_zero_shot_most_is_refitted_and_blended() -> None:
    features = np.hstack([GOOD, NOISE]).astype(np.float32)
    zero_shot = Head((affine(np.hstack([np.zeros((3, 3)), np.eye(3)]), np.zeros(3)),))
    probe = Head((affine(np.hstack([np.eye(3), np.zeros((3, 3))]), np.zeros(3)),))
    labelled = Labelled(features, TARGET, np.zeros(400, int), 3)
    unheld = GOOD.copy()
    unheld[:7] = np.nan
    fit = blend_with_zero_shot(
        labelled,
        {"noise": RNG.normal(size=(400, 3)), "good": unheld},
        lambda name: {"name": name},
        {"good": probe}.__getitem__,
        zero_shot,
    )
    a, b = fit.hyperparameters["probe_weight"], fit.hyperparameters["zero_shot_weight"]
    assert fit.hyperparameters["name"] == "good"
    np.testing.assert_allclose(fit.head(features), a * GOOD + b * NOISE, atol=1e-4)
    assert fit.temperature == 1.0
    assert fit.held_out is not None
    assert np.isnan(fit.held_out[:7]).all()
    mixed = a * GOOD[7:] + b * NOISE[7:]
    np.testing.assert_allclose(fit.held_out[7:], softmax(mixed, axis=1), atol=1e-4)
    assert fit.cv_log_loss == pytest.approx(log_loss(mixed, TARGET[7:]), rel=1e-5)
