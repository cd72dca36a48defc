from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from sports_clip_pipeline.fewshot import adapters
from sports_clip_pipeline.fewshot.adapters import (
    KeyCache,
    KeyTraining,
    TipAdapter,
    TipAdapterF,
    build_cache,
    train_keys,
)
from sports_clip_pipeline.fewshot.base import Task
from sports_clip_pipeline.fewshot.cross_validation import log_loss
from sports_clip_pipeline.predictor.head import Head
from tests.fewshot.factories import labelled, pretrained

ROWS, TEXTS = labelled(60, 3, shuffle=True), pretrained(3)
COLUMNS = replace(ROWS, features=Head(TEXTS.scaled(root=True))(ROWS.features))
TEXT = TEXTS.zero_shot_head()(ROWS.features)
COURSE = KeyTraining(5.5, 2.0, 0.3, (1, 40), lr=1e-2, batch_size=60, seed=0)


def loss_of(cache: KeyCache) -> float:
    logits = COURSE.cache_weight * cache.head(COURSE.beta)(COLUMNS.features)
    return log_loss(logits + COURSE.text_weight * TEXT, COLUMNS.target)


def test_the_keys_follow_the_loss_of_the_blend() -> None:
    cache = build_cache(COLUMNS, 4, 0)
    trained = train_keys(cache, COLUMNS, TEXT, COURSE)
    assert sorted(trained) == [1, 40]
    assert loss_of(cache) > loss_of(trained[1]) > loss_of(trained[40])


def test_the_first_step_goes_against_the_gradient_of_finite_differences() -> None:
    """Adam's first step is the rate times the sign of the gradient, where that is not tiny."""
    cache = build_cache(COLUMNS, 2, 0)
    first = train_keys(cache, COLUMNS, TEXT, COURSE)[1]
    for place in ((0, 0), (3, 5), (5, 11)):
        nudge = np.zeros_like(cache.keys)
        nudge[place] = 1e-2
        up = loss_of(replace(cache, keys=cache.keys + nudge))
        down = loss_of(replace(cache, keys=cache.keys - nudge))
        step = first.keys[place] - cache.keys[place]
        if abs(up - down) > 1e-3:
            assert np.sign(step) == -np.sign(up - down)


def test_training_leaves_the_cache_it_started_from_and_the_arithmetic_as_they_were() -> None:
    cache = build_cache(COLUMNS, 4, 0)
    before = cache.keys.copy()
    train_keys(cache, COLUMNS, TEXT, COURSE)
    np.testing.assert_array_equal(cache.keys, before)
    smallest = torch.tensor(1e-40) * torch.tensor(0.5)
    assert smallest > 0  # denormal numbers count again


def test_it_keeps_the_sharpness_of_the_untrained_cache_and_chooses_its_steps() -> None:
    rows = labelled(60, 3)
    found = TipAdapterF(steps=(2, 5)).fit(Task(rows, TEXTS))
    untrained = TipAdapter().fit(Task(rows, TEXTS, 0))
    assert found.hyperparameters["beta"] == untrained.hyperparameters["beta"]
    assert found.hyperparameters["steps"] in (2, 5)


def test_many_labels_are_held_out_by_as_many_folds_as_are_needed(monkeypatch) -> None:
    monkeypatch.setattr(adapters, "_ENOUGH", 25)
    rows = labelled(60, 3)  # three folds of twenty
    found = TipAdapterF(steps=(1,)).fit(Task(rows, TEXTS))
    assert found.held_out is not None
    tested = ~np.isnan(found.held_out[:, 0])
    assert tested.sum() == 40
    np.testing.assert_array_equal(tested, rows.fold < 2)
