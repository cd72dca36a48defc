from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sports_clip_pipeline.fewshot.adapters import KeyCache, TipAdapter, build_cache
from sports_clip_pipeline.fewshot.base import Labelled, Task
from sports_clip_pipeline.predictor.head import Head
from tests.fewshot.factories import labelled, pretrained

RNG = np.random.default_rng(0)


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_cache_logits_are_the_sum_over_keys_of_each_class() -> None:
    keys, owner = unit(RNG.normal(size=(7, 4))), np.array([0, 0, 1, 2, 2, 2, 1])
    rows = unit(RNG.normal(size=(5, 4)))
    wanted = np.zeros((5, 3))
    for i, row in enumerate(rows):
        for key, label in zip(keys, owner, strict=True):
            wanted[i, label] += np.exp(-5.5 * (1.0 - row @ key))
    np.testing.assert_allclose(KeyCache(keys, owner, 3).head(5.5)(rows), wanted, rtol=1e-5)


def test_the_fit_adds_cache_and_zero_shot_with_its_weights() -> None:
    rows, texts = labelled(30, 3), pretrained(3)
    found = TipAdapter().fit(Task(rows, texts, 0))
    chosen = found.hyperparameters
    columns = Head(texts.scaled(root=True))(rows.features)
    cache = build_cache(replace(rows, features=columns), 32, 0).head(chosen["beta"])
    wanted = chosen["probe_weight"] * cache(columns)
    wanted += chosen["zero_shot_weight"] * texts.zero_shot_head()(rows.features)
    np.testing.assert_allclose(found.head(rows.features), wanted, rtol=1e-3, atol=1e-3)


def test_a_class_with_few_rows_keeps_them_all_as_keys() -> None:
    rows = Labelled(unit(RNG.normal(size=(9, 4))), np.array([0] * 4 + [1] * 5), np.zeros(9), 2)
    cache = build_cache(rows, 5, seed=0)
    np.testing.assert_array_equal(cache.keys, rows.features)
    np.testing.assert_array_equal(cache.key_class, rows.target)


def test_a_class_with_many_rows_keeps_the_centres_of_its_groups() -> None:
    """Eight rows around e₀ and eight around e₁, two keys: one for each direction."""
    around = np.repeat(np.eye(2, 6), 8, axis=0) + RNG.normal(0, 0.05, (16, 6))
    rows = Labelled(unit(around), np.zeros(16, int), np.zeros(16), 1)
    cache = build_cache(rows, 2, seed=1)
    assert cache.keys.shape == (2, 6)
    np.testing.assert_allclose(np.linalg.norm(cache.keys, axis=1), 1.0, atol=1e-5)
    nearest = (cache.keys @ np.eye(6)).argmax(axis=1)
    assert sorted(nearest) == [0, 1]
    assert (cache.keys.max(axis=1) > 0.98).all()


@pytest.mark.parametrize("most", [1, 3])
def test_no_class_has_more_keys_than_allowed(most: int) -> None:
    rows = labelled(60, 3)
    cache = build_cache(replace(rows, features=unit(rows.features)), most, 0)
    assert np.bincount(cache.key_class).tolist() == [most] * 3
    assert np.isfinite(cache.keys).all()
