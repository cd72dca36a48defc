from __future__ import annotations

import time

import numpy as np
import pytest

from sports_clip_pipeline.evaluation.bootstrap import (
    bootstrap_interval,
    draw_counts,
    resampled_means,
)


def test_all_right_has_no_width() -> None:
    assert bootstrap_interval(np.ones((3, 20), bool), seed=0, resamples=200) == (1.0, 1.0)


def test_one_seed_comes_near_the_normal_approximation() -> None:
    correct = (np.arange(400) < 300)[None, :]
    low, high = bootstrap_interval(correct, seed=0)
    half = 1.96 * np.sqrt(0.75 * 0.25 / 400)
    assert (low, high) == pytest.approx((0.75 - half, 0.75 + half), abs=0.006)


def test_seeds_that_differ_widen_the_interval() -> None:
    same = np.tile(np.arange(100) < 50, (2, 1))
    apart = np.stack([np.arange(100) < 10, np.arange(100) < 90])
    low, high = bootstrap_interval(same, 0, 500)
    wide_low, wide_high = bootstrap_interval(apart, 0, 500)
    assert wide_low < low < high < wide_high


def test_the_seed_decides() -> None:
    correct = np.random.default_rng(0).random((2, 57)) < 0.6
    assert bootstrap_interval(correct, 1, 300) == bootstrap_interval(correct, 1, 300)
    assert bootstrap_interval(correct, 1, 300) != bootstrap_interval(correct, 2, 300)


@pytest.mark.parametrize("shape", [(5,), (0, 5), (2, 0)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"correct is \(S, N\)"):
        bootstrap_interval(np.ones(shape, bool), 0)


def naive_means(correct: np.ndarray, seed: int, resamples: int) -> list[float]:
    seeds, photographs = correct.shape
    rng, rng_of_seeds = np.random.default_rng([seed, 0]), np.random.default_rng([seed, 1])
    means = []
    for _ in range(resamples):
        drawn = rng.integers(photographs, size=photographs)
        chosen = rng_of_seeds.integers(seeds, size=seeds)
        means.append(correct[chosen][:, drawn].mean())
    return means


@pytest.mark.parametrize("seeds", [1, 3])
def test_resampled_means_agree_with_the_naive_twin(seeds: int) -> None:
    correct = np.random.default_rng(0).random((seeds, 41)) < 0.7
    found = resampled_means(correct, 5, 300)
    np.testing.assert_allclose(found, naive_means(correct, 5, 300), atol=1e-7)


def test_the_same_photographs_are_drawn_for_every_arm_of_a_seed() -> None:
    first = np.random.default_rng(0).random((1, 50)) < 0.5
    assert np.ptp(resampled_means(first, 1, 100) + resampled_means(~first, 1, 100)) < 1e-6


def test_draws_are_counts_of_all_items_and_cannot_be_changed() -> None:
    counts = draw_counts(0, 30, 20)
    assert (counts.sum(axis=1) == 30).all()
    assert not np.array_equal(counts, draw_counts(0, 30, 20, "seeds"))
    with pytest.raises(ValueError, match="read-only"):
        counts[0, 0] = 1


def test_three_hundred_arms_take_seconds() -> None:
    correct = np.random.default_rng(0).random((1, 2203)) < 0.8
    start = time.process_time()
    for arm in range(300):
        bootstrap_interval(correct, arm % 5, 1000)
    assert time.process_time() - start < 10
