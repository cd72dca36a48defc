from __future__ import annotations

import json

import numpy as np

from sports_clip_pipeline.evaluation.learning_curves import (
    ScoredTrial,
    choose_each,
    learning_curves,
    score_trial,
    trial_probabilities,
    trials_table,
)
from sports_clip_pipeline.fewshot.base import Fit
from sports_clip_pipeline.fewshot.trial import FittedTrial, TrialKey
from sports_clip_pipeline.predictor.head import Head, Operation

IDENTITY = Head((Operation("affine", {"weight": np.eye(2), "bias": np.zeros(2)}),))


def arm(
    method: str = "a", fraction: float = 1.0, seed: int = 0, cv: float = 0.5, loss: float = 1.0
) -> FittedTrial:
    fit = Fit(IDENTITY, 1.0, {"c": 3.0}, cv, loss)
    return FittedTrial(TrialKey(method, fraction, seed), fit, int(10 * fraction), 0.1, False)


def scored(right: int, **of_arm: float) -> ScoredTrial:
    """An arm that is right on the first `right` of four photographs."""
    features = np.array([[1.0, 0.0]] * right + [[0.0, 1.0]] * (4 - right))
    return score_trial(arm(**of_arm), features, np.zeros(4, int), 2, 100)


def test_an_arm_is_scored_on_its_predictions() -> None:
    row = scored(3, seed=1).row
    assert row["top1"] == 0.75
    assert row["top1_low"] <= 0.75 <= row["top1_high"]
    assert json.loads(row["hyperparameters"]) == {"c": 3.0}
    assert (row["seed"], row["labels"], row["reused"]) == (1, 10, False)


def test_curves_average_seeds_and_name_them() -> None:
    arms = [scored(4, seed=1), scored(2, seed=0), scored(1, fraction=0.5)]
    curves = learning_curves(arms, 100)
    assert curves["fraction"].tolist() == [0.5, 1.0]
    assert curves["top1_mean"].tolist() == [0.25, 0.75]
    assert curves["seeds"].tolist() == [[0], [0, 1]]
    assert curves["labels"].tolist() == [5, 10]
    assert (curves["top1_low"] <= curves["top1_mean"]).all()
    assert trials_table(arms)["seed"].tolist() == [0, 0, 1]


def test_at_each_fraction_held_out_folds_choose_and_nothing_else() -> None:
    shipped = scored(1, method="shipped", cv=0.8)
    fewer = scored(4, method="fewer labels", fraction=0.5, cv=0.99)
    others = [scored(4, method="right on evaluation", cv=0.7), fewer]
    chosen = choose_each([*others, shipped])
    assert chosen == {0.5: fewer.fitted, 1.0: shipped.fitted}


def test_equal_accuracies_are_told_apart_by_log_loss() -> None:
    sure = scored(2, method="b", cv=0.8, loss=0.3)
    assert choose_each([scored(2, cv=0.8, loss=0.4), sure]) == {1.0: sure.fitted}


def test_methods_are_compared_by_their_mean_over_seeds_and_ship_the_first() -> None:
    lucky = [scored(2, method="a", seed=0, cv=0.9), scored(2, method="a", seed=1, cv=0.5)]
    steady = [scored(2, method="b", seed=1, cv=0.8), scored(2, method="b", seed=0, cv=0.8)]
    assert choose_each([*lucky, *steady]) == {1.0: steady[1].fitted}


def test_the_answers_of_arms_go_by_their_names() -> None:
    arm = scored(2, seed=1)
    answers = trial_probabilities([arm])[arm.fitted.key.name]
    assert answers.dtype == np.float16
    odds = np.e / (1 + np.e)
    np.testing.assert_allclose(answers[0], [odds, 1 - odds], atol=1e-3)
    assert answers.argmax(axis=1).tolist() == [0, 0, 1, 1]
