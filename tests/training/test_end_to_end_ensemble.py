from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from sports_clip_pipeline.data.transforms import ImageTransform
from sports_clip_pipeline.fewshot.base import Fit
from sports_clip_pipeline.fewshot.end_to_end_ensemble import (
    FROZEN,
    build_ensemble,
    ensemble_predictor,
    is_better,
)
from sports_clip_pipeline.fewshot.end_to_end_study import EndToEndTrial, predictor_of
from sports_clip_pipeline.fewshot.trial import FittedTrial, TrialKey
from sports_clip_pipeline.pipelines.end_to_end.config import END_TO_END_ENSEMBLE
from sports_clip_pipeline.predictor.head import Head, Operation, softmax

TARGET = np.arange(60) % 3
HELD_OUT = np.arange(60) < 30
TRAINED_WIDTH, FROZEN_WIDTH = 4, 5


def answers(
    sharpness: float, error: float, seed: int = 0, rows: np.ndarray | None = None
) -> np.ndarray:
    """Probabilities (60, 3) around the truth; NaN where a row was not held out."""
    noise = np.random.default_rng(seed).normal(0, error, (60, 3))
    said = softmax(sharpness * np.eye(3)[TARGET] + noise).astype(np.float32)
    if rows is not None:
        said[~rows] = np.nan
    return said


def head(width: int, seed: int) -> Head:
    weight = np.random.default_rng(seed).normal(size=(3, width)).astype(np.float32)
    return Head((Operation("affine", {"weight": weight, "bias": np.zeros(3, np.float32)}),))


def fitted(
    method: str, width: int, held_out: np.ndarray | None, temperature: float = 1.0
) -> FittedTrial:
    fit = Fit(head(width, 1), temperature, {}, 0.5, 1.0, held_out)
    return FittedTrial(TrialKey(method, 0.5, 0), fit, 60, 2.0, reused=False)


def pixel(method: str, held_out: np.ndarray | None, temperature: float = 1.0) -> EndToEndTrial:
    return EndToEndTrial(fitted(method, TRAINED_WIDTH, held_out, temperature), {}, "mark")


def joined(trained: list[EndToEndTrial], frozen: FittedTrial):
    return build_ensemble(trained, frozen, TARGET, (TRAINED_WIDTH, FROZEN_WIDTH))


def test_the_trained_tower_that_errs_least_beside_the_committee_speaks() -> None:
    frozen = fitted(FROZEN, FROZEN_WIDTH, answers(3, 1.5, 1))
    poor, good = (
        pixel("flyp", answers(0, 1, 2, HELD_OUT)),
        pixel("full_imagenet", answers(3, 1, 3, HELD_OUT)),
    )
    made = joined([poor, good], frozen)
    assert made.end_to_end.method == "full_imagenet"
    assert made.fitted.key == TrialKey(END_TO_END_ENSEMBLE, 0.5, 0)
    assert made.fitted.fit.hyperparameters["pixel_method"] == "full_imagenet"
    assert made.fitted.elapsed_s == 4.0
    assert is_better(made, frozen, TARGET)


def test_what_adds_nothing_gets_no_weight_and_does_not_win() -> None:
    frozen = fitted(FROZEN, FROZEN_WIDTH, answers(3, 0.5, 1))
    reversed_answers = answers(-4, 0.5, 2, HELD_OUT)
    made = joined([pixel("flyp", reversed_answers)], frozen)
    assert made.fitted.fit.hyperparameters["pixel_weight"] == 0.0
    assert not is_better(made, frozen, TARGET)


def test_only_photographs_held_out_from_both_count() -> None:
    never = HELD_OUT & (TARGET != 2)
    frozen = fitted(FROZEN, FROZEN_WIDTH, answers(3, 1.5, 1, TARGET != 2))
    made = joined([pixel("flyp", answers(3, 1, 3, HELD_OUT))], frozen)
    said = made.fitted.fit.held_out
    assert said is not None
    np.testing.assert_array_equal(~np.isnan(said[:, 0]), never)
    hits = said[never].argmax(axis=1) == TARGET[never]
    assert made.fitted.fit.cv_top1 == pytest.approx(hits.mean())


def test_the_head_on_both_towers_columns_gives_the_weighted_sum() -> None:
    """Temperatures are in the factors: logits of both sides are divided by their own."""
    frozen = fitted(FROZEN, FROZEN_WIDTH, answers(3, 1.5, 1), temperature=4.0)
    made = joined([pixel("flyp", answers(3, 1, 3, HELD_OUT), temperature=0.5)], frozen)
    settings = made.fitted.fit.hyperparameters
    assert made.factors == (settings["pixel_weight"] / 0.5, settings["frozen_weight"] / 4.0)
    rng = np.random.default_rng(5)
    trained_columns = rng.normal(size=(7, TRAINED_WIDTH)).astype(np.float32)
    frozen_columns = rng.normal(size=(7, FROZEN_WIDTH)).astype(np.float32)
    pixel_logits = head(TRAINED_WIDTH, 1)(trained_columns)
    wanted = made.factors[0] * pixel_logits + made.factors[1] * head(FROZEN_WIDTH, 1)(
        frozen_columns
    )
    np.testing.assert_allclose(made.logits(pixel_logits, frozen_columns), wanted, rtol=1e-5)
    stacked = np.hstack([trained_columns, frozen_columns])
    np.testing.assert_allclose(made.fitted.fit.head(stacked), wanted, rtol=1e-5, atol=1e-5)


def test_an_arm_that_kept_no_held_out_answers_is_refused() -> None:
    frozen = fitted(FROZEN, FROZEN_WIDTH, answers(3, 1.5, 1))
    with pytest.raises(ValueError, match="without held-out predictions"):
        joined([pixel("flyp", None)], frozen)
    made = joined([pixel("flyp", answers(3, 1, 3, HELD_OUT))], frozen)
    mute = dataclasses.replace(frozen, fit=dataclasses.replace(frozen.fit, held_out=None))
    assert not is_better(made, mute, TARGET)


def test_each_predictor_has_the_threshold_of_its_own_held_out_answers() -> None:
    """Of 30 held-out photographs one may fall below it: the second least sure one sets it."""
    trained = pixel("flyp", answers(3, 1, 3, HELD_OUT))
    made = joined([trained], fitted(FROZEN, FROZEN_WIDTH, answers(3, 1.5, 1)))
    seen = ImageTransform(64, (0.5,) * 3, (0.5,) * 3)
    alone = predictor_of(trained, ("a", "b", "c"), "lite0", seen, ("full",))
    both = ensemble_predictor(made, alone, {"encoders": []})
    for predictor, arm in ((alone, trained.fitted), (both, made.fitted)):
        said = arm.fit.held_out
        assert said is not None
        assert predictor.threshold == np.sort(said[HELD_OUT].max(axis=1))[1]
    assert alone.threshold != both.threshold
