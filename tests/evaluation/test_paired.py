from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest

from sports_clip_pipeline.evaluation.bootstrap import (
    best_by_folds,
    holm,
    mcnemar_p,
    paired_comparisons,
    sign_flip_p,
)
from sports_clip_pipeline.evaluation.test_predictions import arm_key

PHOTOGRAPHS = 400
TARGET = np.zeros(PHOTOGRAPHS, dtype=np.int64)


def answers(right: np.ndarray) -> np.ndarray:
    """(N, 2) float16 for (N,) bool."""
    return np.stack([right, ~right], axis=1).astype(np.float16)


def first(count: int) -> np.ndarray:
    return np.arange(PHOTOGRAPHS) < count


def study(
    cv: dict[str, float], right: dict[str, int], seeds: int = 2
) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    rows = [(method, 0.1, seed, cv[method]) for method in cv for seed in range(seeds)]
    arms = {
        arm_key(method, 0.1, seed): answers(np.roll(first(right[method]), seed))
        for method in cv
        for seed in range(seeds)
    }
    return pd.DataFrame(rows, columns=["method", "fraction", "seed", "cv_top1"]), arms


def test_mcnemar_agrees_with_binomials_worked_by_hand() -> None:
    assert mcnemar_p(1, 5) == pytest.approx(2 * (1 + 6) / 64)
    assert mcnemar_p(5, 1) == mcnemar_p(1, 5)
    assert mcnemar_p(0, 10) == pytest.approx(2 / 1024)
    assert mcnemar_p(3, 3) == mcnemar_p(0, 0) == 1.0


def test_holms_steps_never_fall() -> None:
    np.testing.assert_allclose(holm(np.array([0.01, 0.04, 0.03])), [0.03, 0.06, 0.06])
    np.testing.assert_allclose(holm(np.array([0.5, 0.9])), [1.0, 1.0])
    assert len(holm(np.array([]))) == 0


def test_random_sign_flips_come_near_all_sign_flips() -> None:
    values = np.array([[1, 1, 0.5, 1, -0.5, 1, 1, 0.0], [1, -1, 1, -1, 1, -1, 0.5, 0]])
    flips = np.array(list(product((-1, 1), repeat=8)))
    exact = [(np.abs(flips @ row) >= abs(row.sum())).mean() for row in values]
    np.testing.assert_allclose(sign_flip_p(values, 20_000, 0), exact, atol=0.01)


def test_no_difference_has_p_one_and_no_p_is_zero() -> None:
    values = np.stack([np.zeros(50), np.ones(50)])
    np.testing.assert_allclose(sign_flip_p(values, 999, 0), [1.0, 0.001])


def test_the_best_is_chosen_on_held_out_folds_and_not_on_evaluation() -> None:
    arms, probabilities = study({"a": 0.9, "b": 0.8}, {"a": 200, "b": 300})
    assert best_by_folds(arms, 0.1) == "a"
    table = paired_comparisons(arms, probabilities, TARGET, answers(first(100)), 200, 999)
    assert table[["method", "against", "role"]].to_numpy().tolist() == [
        ["a", "zero_shot", "zero_shot"],
        ["b", "a", "best"],
        ["b", "zero_shot", "zero_shot"],
    ]
    row = table.iloc[1]
    assert (row["top1"], row["against_top1"]) == (0.75, 0.5)
    assert row["difference"] == pytest.approx(0.25)
    assert 0.2 < row["low"] < 0.25 < row["high"] < 0.3
    assert row["p_value"] == 0.001
    assert row["p_holm"] == 0.003
    assert row["distinguishable"]


def test_ties_on_folds_go_to_the_lower_loss_and_methods_without_folds_are_left_out() -> None:
    columns = ["method", "fraction", "seed", "cv_top1", "cv_log_loss"]
    rows = [("a", 0.1, 0, 0.8, 0.5), ("b", 0.1, 0, 0.8, 0.4), ("c", 0.1, 0, np.nan, 0.1)]
    arms = pd.DataFrame(rows, columns=columns)
    assert best_by_folds(arms, 0.1) == "b"
    assert best_by_folds(arms.drop(columns="cv_log_loss"), 0.1) == "a"
    assert best_by_folds(arms[arms["method"] == "c"], 0.1) is None


def test_one_seed_takes_mcnemars_test() -> None:
    arms, probabilities = study({"a": 0.9, "b": 0.8}, {"a": 205, "b": 201}, seeds=1)
    table = paired_comparisons(arms, probabilities, TARGET, answers(first(205)), 200, 999)
    assert table["test"].tolist() == ["mcnemar"] * 3
    assert table["p_value"].tolist() == pytest.approx([1.0, 2 / 16, 2 / 16])
    assert table["p_holm"].tolist() == pytest.approx([1.0, 0.375, 0.375])
    assert not table["distinguishable"].any()


def test_only_common_seeds_are_compared() -> None:
    arms, probabilities = study({"a": 0.9, "b": 0.8}, {"a": 200, "b": 200})
    del probabilities["b/0.1/1"]
    table = paired_comparisons(arms, probabilities, TARGET, answers(first(9)), 100, 99)
    assert table["seeds"].tolist() == [2, 1, 1]
    probabilities["b/0.1/7"] = probabilities.pop("b/0.1/0")
    with pytest.raises(ValueError, match=r"b and a share no seed at fraction 0\.1"):
        paired_comparisons(arms, probabilities, TARGET, answers(first(9)), 100, 99)


def test_equal_methods_are_called_different_in_few_tables() -> None:
    """The correction holds: of 40 tables of two coins, about one in twenty may err."""
    rng = np.random.default_rng(0)
    frame, _ = study({"a": 0.9, "b": 0.8}, {"a": 1, "b": 1})
    wrong = 0
    for _ in range(40):
        coins = {key: answers(rng.random(PHOTOGRAPHS) < 0.6) for key in
                 ("a/0.1/0", "a/0.1/1", "b/0.1/0", "b/0.1/1")}  # fmt: skip
        zero_shot = answers(rng.random(PHOTOGRAPHS) < 0.6)
        table = paired_comparisons(frame, coins, TARGET, zero_shot, 200, 199)
        wrong += table["distinguishable"].any()
    assert wrong <= 5
