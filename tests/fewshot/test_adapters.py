from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import approx_fprime
from scipy.special import softmax

from sports_clip_pipeline.clip.projections import Pretrained
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.fewshot import adapters
from sports_clip_pipeline.fewshot.adapters import (
    KeyCache,
    ProjectionProblem,
    ProLip,
    TipAdapter,
    TipAdapterF,
    build_cache,
)
from sports_clip_pipeline.fewshot.base import Labelled
from sports_clip_pipeline.fewshot.cross_validation import log_loss
from sports_clip_pipeline.predictor.head import Head, Operation
from tests.fewshot.factories import labelled, pretrained, task, unit

RNG = np.random.default_rng(0)


def test_cache_logits_are_the_sum_over_keys_of_each_class() -> None:
    keys, key_class = unit(RNG.normal(size=(7, 4))), np.array([0, 0, 1, 2, 2, 2, 1])
    rows = unit(RNG.normal(size=(5, 4)))
    expected = np.zeros((5, 3))
    for i, row in enumerate(rows):
        for key, label in zip(keys, key_class, strict=True):
            expected[i, label] += np.exp(-5.5 * (1.0 - row @ key))
    np.testing.assert_allclose(KeyCache(keys, key_class, 3).head(5.5)(rows), expected, rtol=1e-5)


def test_tip_adapter_adds_cache_and_zero_shot_with_its_weights() -> None:
    given = task(labelled(30, 3))
    rows, found = given.labelled, TipAdapter().fit(given)
    chosen, columns = found.hyperparameters, Head(given.pretrained.scaled(root=True))(rows.features)
    cache = build_cache(replace(rows, features=columns), 32, 0).head(chosen["beta"])
    expected = chosen["probe_weight"] * cache(columns)
    expected += chosen["zero_shot_weight"] * given.pretrained.zero_shot_head()(rows.features)
    np.testing.assert_allclose(found.head(rows.features), expected, rtol=1e-3, atol=1e-3)


def test_a_class_with_few_rows_has_them_all_as_keys() -> None:
    rows = Labelled(unit(RNG.normal(size=(9, 4))), np.array([0] * 4 + [1] * 5), np.zeros(9), 2)
    cache = build_cache(rows, 5, seed=0)
    np.testing.assert_array_equal(cache.keys, rows.features)
    np.testing.assert_array_equal(cache.key_class, rows.target)


def test_a_class_with_many_rows_has_the_centres_of_its_clusters_as_keys() -> None:
    """Eight rows around e₀ and eight around e₁, two keys: one for each direction."""
    around = np.repeat(np.eye(2, 6), 8, axis=0) + RNG.normal(0, 0.05, (16, 6))
    cache = build_cache(Labelled(unit(around), np.zeros(16, int), np.zeros(16), 1), 2, seed=1)
    assert cache.keys.shape == (2, 6)
    np.testing.assert_allclose(np.linalg.norm(cache.keys, axis=1), 1.0, atol=1e-5)
    assert sorted(cache.keys.argmax(axis=1)) == [0, 1]
    assert (cache.keys.max(axis=1) > 0.98).all()


ROWS, TEXTS = labelled(60, 3, shuffle=True), pretrained(3)
COLUMNS = replace(ROWS, features=Head(TEXTS.scaled(root=True))(ROWS.features))
OFFSET = 0.3 * TEXTS.zero_shot_head()(ROWS.features)
BETA, CACHE_WEIGHT = 5.5, 2.0


def train(cache: KeyCache) -> dict[int, KeyCache]:
    method = TipAdapterF(steps=(1, 40), lr=1e-2, batch_size=60)
    return method.train(cache, COLUMNS, OFFSET, BETA, CACHE_WEIGHT, seed=0)


def loss_of(cache: KeyCache) -> float:
    return log_loss(CACHE_WEIGHT * cache.head(BETA)(COLUMNS.features) + OFFSET, COLUMNS.target)


def test_training_the_keys_lowers_the_loss_and_leaves_the_first_cache() -> None:
    cache = build_cache(COLUMNS, 4, 0)
    before = cache.keys.copy()
    trained = train(cache)
    assert sorted(trained) == [1, 40]
    assert loss_of(cache) > loss_of(trained[1]) > loss_of(trained[40])
    np.testing.assert_array_equal(cache.keys, before)
    smallest = torch.tensor(1e-40) * torch.tensor(0.5)
    assert smallest > 0, "denormal numbers count again"


def test_the_first_step_goes_against_the_gradient_of_finite_differences() -> None:
    """Adam's first step is the rate times the sign of the gradient, where that is not tiny."""
    cache = build_cache(COLUMNS, 2, 0)
    first = train(cache)[1]
    for index in ((0, 0), (3, 5), (5, 11)):
        nudge = np.zeros_like(cache.keys)
        nudge[index] = 1e-2
        up, down = (loss_of(replace(cache, keys=cache.keys + sign * nudge)) for sign in (1, -1))
        if abs(up - down) > 1e-3:
            assert np.sign(first.keys[index] - cache.keys[index]) == -np.sign(up - down)


def test_tip_adapter_f_has_the_beta_of_the_untrained_cache_and_chooses_its_steps() -> None:
    given = task(labelled(60, 3))
    found = TipAdapterF(steps=(2, 5)).fit(given).hyperparameters
    assert found["beta"] == TipAdapter().fit(given).hyperparameters["beta"]
    assert found["steps"] in (2, 5)


def test_costly_fits_hold_out_no_more_folds_than_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapters, "_MAX_HELD_OUT", 25)
    rows = labelled(60, 3)  # three folds of twenty
    found = TipAdapterF(steps=(1,)).fit(task(rows))
    np.testing.assert_array_equal(~np.isnan(found.held_out[:, 0]), rows.fold < 2)


TARGET = np.arange(24) % 3
START = Pretrained(
    zero_shot_weights=unit(RNG.normal(size=(3, 4))).astype(np.float64),
    logit_scale=8.0,
    image_weight=RNG.normal(size=(4, 6)),
    image_bias=RNG.normal(size=4),
)
POOLED = Labelled(np.abs(RNG.normal(size=(24, 6))), TARGET, TARGET, 3)
PROBLEM = ProjectionProblem(POOLED, START, START.image_weight)


def test_the_prolip_objective_is_cross_entropy_of_cosines_and_the_penalty() -> None:
    weight = PROBLEM.origin + RNG.normal(size=(4, 6))
    total = ((weight - PROBLEM.origin) ** 2).sum() / 8  # 24 labels, 3 classes: λ = 1/8
    for row, label in zip(POOLED.features, TARGET, strict=True):
        image = weight @ row + START.image_bias
        logits = 8.0 * START.zero_shot_weights @ image / np.linalg.norm(image)
        total -= np.log(softmax(logits)[label]) / 24
    assert PROBLEM.objective(weight)[0] == pytest.approx(total)


def test_the_prolip_gradient_agrees_with_finite_differences() -> None:
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


def test_an_overwhelming_penalty_leaves_the_pretrained_projection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ProjectionProblem, "penalty", property(lambda self: 1e8))
    np.testing.assert_allclose(PROBLEM.solve(), PROBLEM.origin, atol=1e-4)


def test_prolip_changes_only_the_directions_that_the_labels_span() -> None:
    given = task(labelled(6, 3), "prolip")
    head = ProLip().fit(given).head
    change = head.operations[0].arrays["weight"] - given.pretrained.image_weight
    assert np.abs(change).max() > 1e-3
    outside = np.linalg.svd(given.labelled.features)[2][6:]
    np.testing.assert_allclose(change @ outside.T, 0.0, atol=1e-4)


def test_the_prolip_head_ends_in_cosines_to_the_texts() -> None:
    given = task(labelled(30, 3), "prolip")
    head, texts = ProLip().fit(given).head, given.pretrained
    projected = unit(Head(head.operations[:1])(given.labelled.features))
    expected = texts.logit_scale * projected @ texts.zero_shot_weights.T
    np.testing.assert_allclose(head(given.labelled.features), expected, atol=1e-4)


def test_prolip_refuses_a_projection_that_is_not_linear() -> None:
    given = task(labelled(30, 3), "prolip")
    other = replace(given.pretrained, image_body=(Operation("relu"),))
    with pytest.raises(UserFacingError, match=r"method prolip.*linear image projection"):
        ProLip().fit(replace(given, pretrained=other))
