from __future__ import annotations

import numpy as np
import pytest

from sports_clip_pipeline.predictor.head import Operation
from sports_clip_pipeline.training import principal
from sports_clip_pipeline.training.principal import PrincipalSpace

ROWS = np.random.default_rng(0).normal(size=(70, 6)).astype(np.float32) @ np.diag(
    np.array([5, 1, 3, 0.5, 2, 4], dtype=np.float32)
)


def test_the_axes_are_those_of_a_singular_value_decomposition() -> None:
    space = PrincipalSpace.of(ROWS, (), 4)
    _, values, axes = np.linalg.svd(ROWS - ROWS.mean(axis=0))
    np.testing.assert_allclose(np.abs(np.sum(space.axes.T * axes[:4], axis=1)), 1.0, atol=1e-4)
    np.testing.assert_allclose(space.energy, values[:4] ** 2, rtol=1e-4)
    np.testing.assert_allclose((space.rows(ROWS) ** 2).sum(axis=0), values[:4] ** 2, rtol=1e-3)


def test_there_are_seven_rows_for_each_axis_at_least() -> None:
    assert PrincipalSpace.of(ROWS[:28], (), 100).axes.shape == (6, 4)
    assert PrincipalSpace.of(ROWS[:3], (), 100).axes.shape == (6, 1)
    assert PrincipalSpace.of(ROWS, (), 100).axes.shape == (6, 6)


def test_a_classifier_of_coordinates_is_the_same_one_on_pooled_features() -> None:
    operations = (Operation("l2_normalise"),)
    unit = ROWS / np.linalg.norm(ROWS, axis=1, keepdims=True)
    space = PrincipalSpace.of(unit, operations, 3)
    weight = np.random.default_rng(1).normal(size=(5, 3)).astype(np.float32)
    bias = np.arange(5, dtype=np.float32)
    expected = space.rows(unit) @ weight.T + bias
    np.testing.assert_allclose(space.head(weight, bias)(ROWS), expected, atol=1e-5)


def test_rows_in_another_order_have_the_same_axes_to_the_bit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = PrincipalSpace.of(ROWS, (), 4)

    def refuse(*args: object) -> None:
        raise AssertionError("the axes of these rows are known")

    with monkeypatch.context() as patch:
        patch.setattr(principal, "eigh", refuse)
        again = PrincipalSpace.of(ROWS[::-1], (), 4)
    np.testing.assert_array_equal(again.axes, first.axes)
    PrincipalSpace.of(ROWS[1:], (), 4)
    fresh = PrincipalSpace.of(ROWS[::-1], (), 4)
    np.testing.assert_array_equal(fresh.axes, first.axes)
    np.testing.assert_array_equal(fresh.mean, first.mean)
