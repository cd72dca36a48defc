from __future__ import annotations

import numpy as np
import pytest

from sports_clip_pipeline.fewshot.subspace import BLOCK, lower_gram

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("count", [1, 5, BLOCK + 3])
def test_it_is_the_gram_matrix_of_centred_rows(count: int) -> None:
    rows = RNG.normal(1.0, 1.0, (count, 4)).astype(np.float32)
    centred = rows.astype(np.float64) - rows.mean(axis=0)
    found = np.tril(lower_gram(rows, rows.mean(axis=0)))
    np.testing.assert_allclose(found, np.tril(centred.T @ centred), rtol=1e-4, atol=1e-3)


def test_each_row_may_have_a_mean_of_its_own() -> None:
    rows = np.array([[1, 0], [3, 0], [0, 5], [0, 7]], np.float32)
    means = np.array([[2, 0], [0, 6]], np.float32)
    found = lower_gram(rows, means, np.array([0, 0, 1, 1]))
    np.testing.assert_array_equal(np.tril(found), [[2, 0], [0, 2]])


def test_an_order_makes_it_the_same_to_the_bit_for_shuffled_rows() -> None:
    rows = RNG.normal(size=(2 * BLOCK, 3)).astype(np.float32)
    mean, turned = rows.mean(axis=0), RNG.permutation(len(rows))
    by_value = [np.lexsort(some.T) for some in (rows, rows[turned])]
    first = lower_gram(rows, mean, order=by_value[0])
    second = lower_gram(rows[turned], mean, order=by_value[1])
    np.testing.assert_array_equal(first, second)
