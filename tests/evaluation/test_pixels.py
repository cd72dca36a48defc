from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from sports_clip_pipeline.evaluation import pixels
from sports_clip_pipeline.evaluation.pixels import (
    ARM_COLUMNS,
    CURVE_COLUMNS,
    PixelJudge,
    folder_name,
    pixel_tables,
)
from sports_clip_pipeline.journal import Journal
from sports_clip_pipeline.training.pixels.arms import run_pixel_arms
from sports_clip_pipeline.training.pixels.fitted import PixelArm
from tests.training.pixels.making import FAST, study


@pytest.fixture
def judged(tmp_path: Path) -> tuple[PixelArm, PixelJudge]:
    journal = Journal()
    made = study(tmp_path, journal)
    (done,) = run_pixel_arms(made, FAST, journal)
    judge = PixelJudge(
        made.squares, made.target, ("a", "b", "c"), "lite0", FAST.views, 100, journal
    )
    return done, judge


def test_an_arm_is_scored_as_its_predictor_answers(judged: tuple[PixelArm, PixelJudge]) -> None:
    done, judge = judged
    images = [judge.squares.store.get(i) for i in range(18)]
    answers = judge.predictor(done).predict_images(images).argmax(axis=1)
    scored = judge.judge(done)
    np.testing.assert_array_equal(scored.correct, answers == judge.target)
    assert scored.row["top1"] == pytest.approx((answers == judge.target).mean())
    assert scored.row["labels"] == 18
    assert scored.fitted is done.fitted
    assert folder_name(done.fitted.key) == "full_imagenet-1-0"


def test_an_arm_is_judged_once_and_then_remembered(
    judged: tuple[PixelArm, PixelJudge], monkeypatch: pytest.MonkeyPatch
) -> None:
    done, judge = judged
    assert judge.remembered(done) is None
    first = judge.judge(done)

    def refuse(*args: object) -> None:
        raise AssertionError("the evaluation photographs were looked at again")

    monkeypatch.setattr(pixels, "pooled_squares", refuse)
    assert judge.judge(done).row == first.row
    again = judge.remembered(done)
    assert again is not None
    assert again.row == first.row
    other = dataclasses.replace(done, mark="other")
    assert judge.remembered(other) is None


def test_tables_have_the_same_columns_with_and_without_arms(
    judged: tuple[PixelArm, PixelJudge],
) -> None:
    done, judge = judged
    for scored in ([], [judge.judge(done)]):
        arms, curves = pixel_tables(scored, 100)
        assert list(arms.columns) == list(ARM_COLUMNS)
        assert list(curves.columns) == list(CURVE_COLUMNS)
        assert len(arms) == len(curves) == len(scored)
