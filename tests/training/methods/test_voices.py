from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from sports_clip_pipeline.predictor.head import softmax
from sports_clip_pipeline.training.methods.pool import Pool
from sports_clip_pipeline.training.methods.teacher import teach
from sports_clip_pipeline.training.methods.voices import Voice, join
from tests.training.making import FAST, anchors, labelled, toy, unlabelled

ROWS = labelled(45, 3)
TEXT = replace(anchors(3), space="towers")
POOL = Pool.of(ROWS, TEXT, unlabelled(40, 3), 100)
TEACHER = teach(POOL, TEXT, FAST)
RNG = np.random.default_rng(0)


def voice(pull: float = 0.3) -> Voice:
    weight = RNG.normal(size=(3, POOL.rows.shape[1])).astype(np.float32)
    return Voice(weight, RNG.normal(size=3).astype(np.float32), pull)


def test_a_voice_by_hand() -> None:
    one = Voice(np.array([[2.0, 0.0], [0.0, 1.0]]), np.array([0.5, -1.0]), 2.0)
    logits = one(np.array([[1.0, 3.0]]), np.array([[-1.0, -2.0]]))
    np.testing.assert_allclose(logits, [[2 + 0.5 - 2, 3 - 1 - 4]])


def test_the_head_is_the_weighed_sum_of_the_voices_and_their_teacher() -> None:
    voices = {"one": voice(), "two": voice(0.0)}
    found = join(POOL, TEACHER, lambda fold: voices)
    features, _ = toy(20, 3, seed=8)
    said = TEACHER.fit.head(features)
    rows = POOL.space.rows(replace_columns(features))
    weights = found.hyperparameters
    expected = weights["teacher_weight"] * said + sum(
        weights[f"{name}_weight"] * one(rows, said) for name, one in voices.items()
    )
    np.testing.assert_allclose(found.head(features), expected, atol=1e-3)


def replace_columns(features: np.ndarray) -> np.ndarray:
    return Pool.of(replace(ROWS, features=features), TEXT, None, 1).columns


def test_a_voice_that_knows_nothing_leaves_the_teacher() -> None:
    noise = RNG.normal(size=(4, 3, POOL.rows.shape[1])).astype(np.float32)

    def learn(fold: int | None) -> Mapping[str, Voice]:
        return {"noise": Voice(noise[3 if fold is None else fold] * 20, np.zeros(3, np.float32))}

    found = join(POOL, TEACHER, learn)
    features, _ = toy(60, 3, seed=8)
    same = found.head(features).argmax(axis=1) == TEACHER.fit.head(features).argmax(axis=1)
    assert same.mean() > 0.95
    assert found.cv_log_loss <= TEACHER.fit.cv_log_loss + 1e-6


def test_every_label_is_held_out_once_by_voices_that_did_not_see_it() -> None:
    asked = []

    def learn(fold: int | None) -> Mapping[str, Voice]:
        asked.append(fold)
        return {"one": voice()}

    found = join(POOL, TEACHER, learn)
    assert asked == [0, 1, 2, None]
    assert found.held_out is not None
    np.testing.assert_allclose(found.held_out.sum(axis=1), 1.0, atol=1e-5)
    own = found.held_out[np.arange(45), ROWS.target]
    assert -np.log(own).mean() == pytest.approx(found.cv_log_loss, abs=1e-4)
    assert (softmax(found.head(ROWS.features)).argmax(axis=1) == ROWS.target).mean() > 0.8
