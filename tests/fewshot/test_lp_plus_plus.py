from __future__ import annotations

import numpy as np
from scipy.special import log_softmax

from sports_clip_pipeline.fewshot.base import Labelled, Task
from sports_clip_pipeline.fewshot.cross_validation import fit_temperature
from sports_clip_pipeline.fewshot.linear import LpPlusPlus
from sports_clip_pipeline.fewshot.subspace import principal_axes
from sports_clip_pipeline.predictor.head import Head
from tests.fewshot.factories import labelled, pretrained

RNG = np.random.default_rng(0)
TARGET = RNG.integers(0, 3, 60)
COLUMNS = (RNG.normal(size=(60, 5)) + np.eye(3, 5)[TARGET]).astype(np.float32)
TEXT = (RNG.normal(size=(60, 3)) + np.eye(3)[TARGET]).astype(np.float32)
JOINT = Labelled(np.hstack([COLUMNS, TEXT]), TARGET, TARGET, 3)


def solved(c: float, pull: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weight (3, 5), bias (3,), multipliers (3,)."""
    _, energy = principal_axes(COLUMNS)
    (head,) = LpPlusPlus(prior_strength=pull).solve(JOINT, energy, (c,)).values()
    arrays = head.operations[0].arrays
    text_part = arrays["weight"][:, 5:]
    np.testing.assert_array_equal(text_part, np.diag(np.diag(text_part)))
    return arrays["weight"][:, :5], arrays["bias"], np.diag(text_part)


def test_the_minimum_is_one_of_the_naive_objective() -> None:
    centre = 1.0 / fit_temperature(TEXT, TARGET)

    def naive(weight: np.ndarray, bias: np.ndarray, multiplier: np.ndarray) -> float:
        logits = COLUMNS @ weight.T + bias + multiplier * TEXT
        own = log_softmax(logits, axis=1)[np.arange(60), TARGET]
        pull = 0.5 * 2.0 * ((multiplier - centre) ** 2).sum()
        return float(-0.8 * own.sum() + 0.5 * (weight**2).sum() + pull)

    found = solved(0.8, pull=2.0)
    lowest = naive(*found)
    for _ in range(30):
        assert naive(*(part + RNG.normal(0, 0.05, part.shape) for part in found)) > lowest


def test_with_no_weight_on_the_probe_and_a_strong_pull_it_is_calibrated_zero_shot() -> None:
    weight, bias, multiplier = solved(1e-4, pull=1e6)
    np.testing.assert_allclose(multiplier, 1.0 / fit_temperature(TEXT, TARGET), rtol=1e-3)
    np.testing.assert_allclose(weight, 0.0, atol=2e-2)
    assert np.ptp(bias) < 0.5


def test_the_head_reads_features_and_text_in_two_branches() -> None:
    rows, texts = labelled(40, 3), pretrained(3)
    found = LpPlusPlus(c=(30.0,)).fit(Task(rows, texts))
    kinds = found.head.describe()
    assert isinstance(kinds[0], dict)
    probe, text = found.head.operations[0].branches
    multiplier = text.operations[-1].arrays["weight"]
    zero_shot = texts.zero_shot_head()(rows.features)
    wanted = probe(rows.features) + zero_shot * np.diag(multiplier)
    np.testing.assert_allclose(found.head(rows.features), wanted, atol=1e-4)
    assert isinstance(probe, Head)
