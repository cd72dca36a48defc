from __future__ import annotations

import numpy as np
import pytest

from sports_clip_pipeline.explain.faithfulness import (
    centre_map,
    first_of,
    pixel_order,
    random_map,
    rank_correlation,
)


def test_the_order_goes_from_the_greatest_to_the_least():
    heat = np.array([[0.2, 0.9], [0.5, 0.1]])
    assert pixel_order(heat, seed=0).tolist() == [1, 2, 0, 3]


def test_exactly_the_share_is_taken_where_most_pixels_tie():
    heat = np.zeros((10, 10))
    heat[0, :5] = 1.0  # a percentile of 0.8 would lie among 95 equal zeros
    order = pixel_order(heat, seed=0)
    for share in (0.05, 0.2, 0.5, 0.8):
        assert first_of(order, share, heat.shape).sum() == round(100 * share)
    assert first_of(order, 0.2, heat.shape)[0, :5].all()
    assert first_of(order[::-1], 0.8, heat.shape)[0, :5].sum() == 0


def test_ties_are_broken_by_the_seed_alike_for_all_maps():
    flat = np.zeros((8, 8))
    first, again, other = (pixel_order(flat, seed) for seed in (0, 0, 1))
    assert (first == again).all() and (first != other).any()
    assert sorted(first) == list(range(64))
    assert (pixel_order(np.ones((8, 8)), 0) == first).all()
    assert first.tolist() != list(range(64))


def test_the_centre_is_highest_in_the_middle_and_falls_evenly():
    heat = centre_map(9, 5)
    assert heat[4, 2] == heat.max() == 1.0
    np.testing.assert_allclose(heat, heat[::-1, ::-1])
    assert heat[0, 0] == heat.min()


def test_the_random_map_is_as_coarse_as_the_layer():
    heat = random_map(32, 32, (4, 4), seed=0)
    assert heat.shape == (32, 32)
    assert np.abs(np.diff(heat, axis=1)).max() < 0.2
    assert (random_map(32, 32, (4, 4), seed=0) == heat).all()
    assert (random_map(32, 32, (4, 4), seed=1) != heat).any()


def test_rank_correlation_is_spearmans():
    one = np.array([[1.0, 2.0], [3.0, 4.0]])
    assert rank_correlation(one, 10 * one**3) == pytest.approx(1.0)
    assert rank_correlation(one, -one) == pytest.approx(-1.0)
    # Ranks 1 2 3 4 and 2 1 3 4: 1 - 6·2 / (4·15) = 0.8
    assert rank_correlation(one, np.array([[2.0, 1.0], [3.0, 4.0]])) == pytest.approx(0.8)
    assert rank_correlation(one, np.zeros((2, 2))) == 0.0
