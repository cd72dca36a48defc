from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from sports_clip_pipeline.evaluation.bootstrap import (
    Bootstrap,
    best_by_cross_validation,
    draw_counts,
    holm,
    mcnemar_p,
    paired_comparisons,
    sign_flip_p,
)
from sports_clip_pipeline.fewshot.trial import TrialKey

IMAGES = 400
TARGET = np.zeros(IMAGES, dtype=np.int64)


def test_an_interval_has_no_width_if_all_is_right() -> None:
    assert Bootstrap(200).interval(np.ones((3, 20), bool)) == (1.0, 1.0)
    groups = np.repeat(np.arange(8), [1, 1, 2, 2, 3, 3, 4, 4])
    assert Bootstrap(200, groups=groups).interval(np.ones((3, 20), bool)) == (1.0, 1.0)


def test_one_seed_approximates_the_normal_interval() -> None:
    correct = (np.arange(400) < 300)[None, :]
    half = 1.96 * np.sqrt(0.75 * 0.25 / 400)
    expected = pytest.approx((0.75 - half, 0.75 + half), abs=0.006)
    assert Bootstrap().interval(correct) == expected


def test_copies_in_a_group_count_as_one_image() -> None:
    correct = np.arange(200) % 4 > 0
    alone = Bootstrap(2000).interval(correct[None, :])
    copied, groups = np.tile(correct, 4)[None, :], np.tile(np.arange(200), 4)
    np.testing.assert_allclose(Bootstrap(2000, groups=groups).interval(copied), alone)
    low, high = Bootstrap(2000).interval(copied)
    assert high - low == pytest.approx((alone[1] - alone[0]) / 2, rel=0.1)


def test_the_seeds_add_the_interval_of_students_t() -> None:
    """Of seeds alone: every image of a seed is as right as any other."""
    means = np.array([0.5, 0.6, 0.7])
    half = 4.302653 * 0.1 / np.sqrt(3)  # t of 2 degrees of freedom
    found = Bootstrap(20_000).interval(np.tile(means[:, None], (1, 50)))
    assert found == pytest.approx((0.6 - half, 0.6 + half), abs=0.01)


@pytest.mark.parametrize("shape", [(5,), (0, 5), (2, 0)])
def test_other_shapes_are_rejected(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"values are \(S, N\)"):
        Bootstrap().interval(np.ones(shape, bool))
    with pytest.raises(ValueError, match="2 groups, 3 columns"):
        Bootstrap(groups=np.zeros(2, int)).interval(np.ones((1, 3), bool))


def test_resampled_means_agree_with_a_naive_loop() -> None:
    correct = np.random.default_rng(0).random((1, 41)) < 0.7
    groups = np.repeat(np.arange(29), [1] * 20 + [2] * 6 + [3] * 3)
    rng, means = np.random.default_rng([5, 0]), []
    for _ in range(300):
        drawn = [np.flatnonzero(groups == group) for group in rng.integers(29, size=29)]
        means.append(correct[:, np.concatenate(drawn)].mean())
    np.testing.assert_allclose(Bootstrap(300, 5, groups).means(correct), means)


@pytest.mark.parametrize("duplicates", [False, True])
@pytest.mark.parametrize(("seeds", "spread"), [(1, 0.0), (3, 0.0), (3, 0.1), (5, 0.05)])
def test_intervals_cover_the_true_accuracy_in_95_per_cent_of_studies(
    seeds: int, spread: float, duplicates: bool
) -> None:
    """400 studies of a probit model: images, label subsets and their interaction are random."""
    rng, interaction = np.random.default_rng(7), 0.6
    sizes = np.tile([1, 1, 1, 2, 3], 40) if duplicates else np.ones(300, int)
    groups = np.repeat(np.arange(len(sizes)), sizes)
    truth = norm.cdf(1 / np.sqrt(1 + interaction**2 + spread**2))
    covered = []
    for _ in range(400):
        images = rng.standard_normal(len(sizes))[groups]
        subsets = spread * rng.standard_normal((seeds, 1))
        rest = interaction * rng.standard_normal((seeds, len(groups)))
        low, high = Bootstrap(500, 0, groups).interval(1 + images + subsets + rest > 0)
        covered.append(low <= truth <= high)
    assert 0.93 <= np.mean(covered) <= 0.97


def test_the_same_images_are_drawn_for_every_trial_of_a_seed() -> None:
    first = np.random.default_rng(0).random((1, 50)) < 0.5
    bootstrap = Bootstrap(100, 1)
    assert np.ptp(bootstrap.means(first) + bootstrap.means(~first)) < 1e-6


def test_draw_counts_sum_to_the_items_and_are_read_only() -> None:
    counts = draw_counts(0, 30, 20)
    assert (counts.sum(axis=1) == 30).all()
    with pytest.raises(ValueError, match="read-only"):
        counts[0, 0] = 1


def predictions(correct: np.ndarray) -> np.ndarray:
    """(N, 2) float16 probabilities for (N,) bool."""
    return np.stack([correct, ~correct], axis=1).astype(np.float16)


def first(count: int) -> np.ndarray:
    return np.arange(IMAGES) < count


def study(
    cv: dict[str, float], correct: dict[str, int], seeds: int = 2
) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    rows = [(method, 0.1, seed, cv[method]) for method in cv for seed in range(seeds)]
    probabilities = {
        TrialKey(method, 0.1, seed).name: predictions(np.roll(first(correct[method]), seed))
        for method in cv
        for seed in range(seeds)
    }
    return pd.DataFrame(rows, columns=["method", "fraction", "seed", "cv_top1"]), probabilities


def test_mcnemar_agrees_with_binomials_worked_by_hand() -> None:
    assert mcnemar_p(1, 5) == pytest.approx(2 * (1 + 6) / 64)
    assert mcnemar_p(5, 1) == mcnemar_p(1, 5)
    assert mcnemar_p(0, 10) == pytest.approx(2 / 1024)
    assert mcnemar_p(3, 3) == mcnemar_p(0, 0) == 1.0


def test_holm_is_monotone_and_at_most_one() -> None:
    np.testing.assert_allclose(holm(np.array([0.01, 0.04, 0.03])), [0.03, 0.06, 0.06])
    np.testing.assert_allclose(holm(np.array([0.5, 0.9])), [1.0, 1.0])


def test_random_sign_flips_approximate_all_sign_flips() -> None:
    values = np.array([[1, 1, 0.5, 1, -0.5, 1, 1, 0.0], [1, -1, 1, -1, 1, -1, 0.5, 0]])
    flips = np.array(list(product((-1, 1), repeat=8)))
    exact = [(np.abs(flips @ row) >= abs(row.sum())).mean() for row in values]
    np.testing.assert_allclose(sign_flip_p(values, 20_000, 0), exact, atol=0.01)


def test_no_difference_has_p_one_and_no_p_is_zero() -> None:
    values = np.stack([np.zeros(50), np.ones(50)])
    np.testing.assert_allclose(sign_flip_p(values, 999, 0), [1.0, 0.001])


def test_the_best_is_chosen_by_cross_validation_and_not_on_test_images() -> None:
    trials, probabilities = study({"a": 0.9, "b": 0.8}, {"a": 200, "b": 300})
    assert best_by_cross_validation(trials, 0.1) == "a"
    table = paired_comparisons(
        trials, probabilities, TARGET, predictions(first(100)), Bootstrap(200), 999
    )
    assert table[["method", "against", "role"]].to_numpy().tolist() == [
        ["a", "zero_shot", "zero_shot"],
        ["b", "a", "best"],
        ["b", "zero_shot", "zero_shot"],
    ]
    row = table.iloc[1]
    assert (row["top1"], row["against_top1"]) == (0.75, 0.5)
    assert row["difference"] == pytest.approx(0.25)
    assert 0.2 < row["low"] < 0.25 < row["high"] < 0.3
    assert (row["p_value"], row["p_holm"]) == (0.001, 0.003)
    assert row["distinguishable"]


def test_cross_validation_ties_go_to_the_lower_loss_and_unscored_methods_are_left_out() -> None:
    columns = ["method", "fraction", "seed", "cv_top1", "cv_log_loss"]
    rows = [("a", 0.1, 0, 0.8, 0.5), ("b", 0.1, 0, 0.8, 0.4), ("c", 0.1, 0, np.nan, 0.1)]
    trials = pd.DataFrame(rows, columns=columns)
    assert best_by_cross_validation(trials, 0.1) == "b"
    assert best_by_cross_validation(trials.drop(columns="cv_log_loss"), 0.1) == "a"
    assert best_by_cross_validation(trials[trials["method"] == "c"], 0.1) is None


def test_one_seed_is_compared_by_mcnemars_test() -> None:
    trials, probabilities = study({"a": 0.9, "b": 0.8}, {"a": 205, "b": 201}, seeds=1)
    table = paired_comparisons(
        trials, probabilities, TARGET, predictions(first(205)), Bootstrap(200), 999
    )
    assert table["test"].tolist() == ["mcnemar"] * 3
    assert table["p_value"].tolist() == pytest.approx([1.0, 2 / 16, 2 / 16])
    assert table["p_holm"].tolist() == pytest.approx([1.0, 0.375, 0.375])
    assert not table["distinguishable"].any()


def test_only_common_seeds_are_compared() -> None:
    trials, probabilities = study({"a": 0.9, "b": 0.8}, {"a": 200, "b": 200})
    del probabilities["b/0.1/1"]
    table = paired_comparisons(
        trials, probabilities, TARGET, predictions(first(9)), Bootstrap(100), 99
    )
    assert table["seeds"].tolist() == [2, 1, 1]
    probabilities["b/0.1/7"] = probabilities.pop("b/0.1/0")
    with pytest.raises(ValueError, match=r"b and a share no seed at fraction 0\.1"):
        paired_comparisons(trials, probabilities, TARGET, predictions(first(9)), Bootstrap(100), 99)


def test_equal_methods_are_distinguishable_in_few_tables() -> None:
    """The correction holds: of 40 tables of random predictions, about one in twenty may err."""
    rng = np.random.default_rng(0)
    trials, probabilities = study({"a": 0.9, "b": 0.8}, {"a": 1, "b": 1})
    wrong = 0
    for _ in range(40):
        drawn = {name: predictions(rng.random(IMAGES) < 0.6) for name in sorted(probabilities)}
        zero_shot = predictions(rng.random(IMAGES) < 0.6)
        table = paired_comparisons(trials, drawn, TARGET, zero_shot, Bootstrap(200), 199)
        wrong += table["distinguishable"].any()
    assert wrong <= 5
