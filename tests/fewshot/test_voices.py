from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from sports_clip_pipeline.fewshot.base import Task
from sports_clip_pipeline.fewshot.ensemble import LogregBlend
from sports_clip_pipeline.fewshot.semi_supervised import Component, Pool, Teacher, stack_components
from sports_clip_pipeline.predictor.head import softmax
from tests.fewshot.factories import labelled, pretrained, toy, unlabelled

C = LogregBlend().c
ROWS = labelled(45, 3)
TEXT = replace(pretrained(3), space="all_encoders")
POOL = Pool.of(Task(ROWS, TEXT, 0, unlabelled(40, 3)), 100)
TEACHER = Teacher.of(POOL, TEXT, C)
RNG = np.random.default_rng(0)


def component(pull: float = 0.3) -> Component:
    weight = RNG.normal(size=(3, POOL.rows.shape[1])).astype(np.float32)
    return Component(weight, RNG.normal(size=3).astype(np.float32), pull)


def test_a_voice_by_hand() -> None:
    one = Component(np.array([[2.0, 0.0], [0.0, 1.0]]), np.array([0.5, -1.0]), 2.0)
    logits = one(np.array([[1.0, 3.0]]), np.array([[-1.0, -2.0]]))
    np.testing.assert_allclose(logits, [[2 + 0.5 - 2, 3 - 1 - 4]])


def test_the_head_is_the_weighed_sum_of_the_voices_and_their_teacher() -> None:
    voices = {"one": component(), "two": component(0.0)}
    found = stack_components(POOL, TEACHER, lambda fold: voices)
    features, _ = toy(20, 3, seed=8)
    said = TEACHER.fit.head(features)
    rows = POOL.space.rows(replace_columns(features))
    weights = found.hyperparameters
    expected = weights["teacher_weight"] * said + sum(
        weights[f"{name}_weight"] * one(rows, said) for name, one in voices.items()
    )
    np.testing.assert_allclose(found.head(features), expected, atol=1e-3)


def replace_columns(features: np.ndarray) -> np.ndarray:
    return Pool.of(Task(replace(ROWS, features=features), TEXT, 0, None), 1).columns


def test_a_voice_that_knows_nothing_leaves_the_teacher() -> None:
    noise = RNG.normal(size=(4, 3, POOL.rows.shape[1])).astype(np.float32)

    def learn(fold: int | None) -> Mapping[str, Component]:
        return {
            "noise": Component(noise[3 if fold is None else fold] * 20, np.zeros(3, np.float32))
        }

    found = stack_components(POOL, TEACHER, learn)
    features, _ = toy(60, 3, seed=8)
    same = found.head(features).argmax(axis=1) == TEACHER.fit.head(features).argmax(axis=1)
    assert same.mean() > 0.95
    assert found.cv_log_loss <= TEACHER.fit.cv_log_loss + 1e-6


def test_every_label_is_held_out_once_by_voices_that_did_not_see_it() -> None:
    asked = []

    def learn(fold: int | None) -> Mapping[str, Component]:
        asked.append(fold)
        return {"one": component()}

    found = stack_components(POOL, TEACHER, learn)
    assert asked == [0, 1, 2, None]
    assert found.held_out is not None
    np.testing.assert_allclose(found.held_out.sum(axis=1), 1.0, atol=1e-5)
    own = found.held_out[np.arange(45), ROWS.target]
    assert -np.log(own).mean() == pytest.approx(found.cv_log_loss, abs=1e-4)
    assert (softmax(found.head(ROWS.features)).argmax(axis=1) == ROWS.target).mean() > 0.8
