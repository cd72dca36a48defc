from __future__ import annotations

import numpy as np
from scipy.optimize import check_grad
from scipy.special import log_softmax
from sports_clip_pipeline.fewshot.logreg_clip_text_init import fit_around

from sports_clip_pipeline.fewshot import logreg_clip_text_init as module
from tests.fewshot.making import FAST, anchors, labelled

RNG = np.random.default_rng(0)
EMBEDDINGS = RNG.normal(size=(20, 5))
TARGET = np.arange(20) % 3
CENTRE = RNG.normal(size=(3, 5))


def test_with_no_weight_on_the_labels_the_classifier_is_the_centre() -> None:
    np.testing.assert_allclose(fit_around(EMBEDDINGS, TARGET, CENTRE, 1e-9), CENTRE, atol=1e-6)


def test_the_more_the_labels_weigh_the_further_it_goes_from_the_centre() -> None:
    away = [
        np.linalg.norm(fit_around(EMBEDDINGS, TARGET, CENTRE, c) - CENTRE)
        for c in (0.001, 0.01, 0.1, 1.0)
    ]
    assert away == sorted(away)


def test_the_gradient_agrees_with_finite_differences(monkeypatch) -> None:
    caught = {}

    def spy(objective, initial, **settings):
        caught["objective"] = objective
        return type("Found", (), {"x": initial})

    monkeypatch.setattr(module, "minimize", spy)
    fit_around(EMBEDDINGS, TARGET, CENTRE, 0.7)
    objective, start = caught["objective"], RNG.normal(size=15)
    error = check_grad(lambda w: objective(w)[0], lambda w: objective(w)[1], start)
    assert error < 1e-4


def test_the_minimum_is_one_of_the_naive_objective() -> None:
    def naive(weight: np.ndarray) -> float:
        own = log_softmax(EMBEDDINGS @ weight.T, axis=1)[np.arange(20), TARGET]
        return float(-0.5 * own.sum() + 0.5 * ((weight - CENTRE) ** 2).sum())

    found = fit_around(EMBEDDINGS, TARGET, CENTRE, 0.5)
    lowest = naive(found)
    for _ in range(20):
        assert naive(found + RNG.normal(0, 0.05, found.shape)) > lowest


def test_the_start_does_not_matter_to_a_convex_problem() -> None:
    far = fit_around(EMBEDDINGS, TARGET, CENTRE, 0.5, start=CENTRE + 3.0)
    np.testing.assert_allclose(far, fit_around(EMBEDDINGS, TARGET, CENTRE, 0.5), atol=2e-2)


def test_a_feather_of_labels_leaves_the_zero_shot_classifier() -> None:
    import dataclasses

    texts, rows = anchors(3), labelled(30, 3)
    config = dataclasses.replace(FAST, text_init_c=(1e-6,))
    head = module.fit(rows, texts, config, 0).head
    projected = rows.features @ texts.image_weight.T
    projected /= np.linalg.norm(projected, axis=1, keepdims=True)
    wanted = texts.logit_scale * projected @ texts.anchors.T
    np.testing.assert_allclose(head(rows.features), wanted, atol=0.05)
