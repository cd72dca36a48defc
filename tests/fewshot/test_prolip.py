from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from scipy.special import softmax

from sports_clip_pipeline.fewshot.adapters import ProjectionProblem, ProLip
from sports_clip_pipeline.fewshot.base import Task
from sports_clip_pipeline.predictor.head import Head
from tests.fewshot.factories import labelled, pretrained

RNG = np.random.default_rng(0)
TARGET = np.arange(24) % 3
TEXT = RNG.normal(size=(3, 4))
TEXT /= np.linalg.norm(TEXT, axis=1, keepdims=True)
PROBLEM = ProjectionProblem(
    pooled=np.abs(RNG.normal(size=(24, 6))),
    target=TARGET,
    text=TEXT,
    scale=8.0,
    origin=RNG.normal(size=(4, 6)),
    bias=RNG.normal(size=4),
)


def test_the_value_is_cross_entropy_of_cosines_and_the_distance_over_labels_a_class() -> None:
    weight = PROBLEM.origin + RNG.normal(size=(4, 6))
    total = ((weight - PROBLEM.origin) ** 2).sum() / 8  # 24 labels, 3 classes: λ = 1/8
    for row, label in zip(PROBLEM.pooled, TARGET, strict=True):
        image = weight @ row + PROBLEM.bias
        logits = 8.0 * TEXT @ image / np.linalg.norm(image)
        total -= np.log(softmax(logits)[label]) / 24
    assert PROBLEM.objective(weight)[0] == pytest.approx(total)


def test_the_gradient_agrees_with_finite_differences() -> None:
    start = (PROBLEM.origin + RNG.normal(size=(4, 6))).ravel()
    numeric = approx_fprime(start, lambda w: PROBLEM.objective(w.reshape(4, 6))[0], 1e-7)
    gradient = PROBLEM.objective(start.reshape(4, 6))[1].ravel()
    np.testing.assert_allclose(gradient, numeric, atol=1e-5)


def test_no_projection_near_the_one_found_is_better() -> None:
    found = PROBLEM.solve()
    lowest = PROBLEM.objective(found)[0]
    assert lowest < PROBLEM.objective(PROBLEM.origin)[0]
    for _ in range(30):
        assert PROBLEM.objective(found + RNG.normal(0, 0.05, found.shape))[0] > lowest


def test_an_unbending_penalty_leaves_the_pretrained_projection(monkeypatch) -> None:
    monkeypatch.setattr(ProjectionProblem, "penalty", property(lambda self: 1e8))
    np.testing.assert_allclose(PROBLEM.solve(), PROBLEM.origin, atol=1e-4)


def test_with_few_labels_only_the_directions_they_fill_are_moved() -> None:
    rows, texts = labelled(6, 3), replace(pretrained(3), space="first_encoder")
    head = ProLip().fit(Task(rows, texts, 0)).head
    moved = head.operations[0].arrays["weight"] - texts.image_weight
    assert np.abs(moved).max() > 1e-3
    outside = np.linalg.svd(rows.features)[2][6:]
    np.testing.assert_allclose(moved @ outside.T, 0.0, atol=1e-4)


def test_the_head_ends_in_cosines_to_the_texts() -> None:
    rows, texts = labelled(30, 3), replace(pretrained(3), space="first_encoder")
    head = ProLip().fit(Task(rows, texts, 0)).head
    projected = Head(head.operations[:1])(rows.features)
    projected /= np.linalg.norm(projected, axis=1, keepdims=True)
    wanted = texts.logit_scale * projected @ texts.zero_shot_weights.T
    np.testing.assert_allclose(head(rows.features), wanted, atol=1e-4)
