from __future__ import annotations

import numpy as np

from sports_clip_pipeline.fewshot.base import Fit
from sports_clip_pipeline.fewshot.shipping import trial_predictor, without_additional_encoders
from sports_clip_pipeline.fewshot.trial import FittedTrial, TrialKey
from sports_clip_pipeline.predictor.head import Head, Operation

SEEN = {
    "size": 64,
    "mean": [0.5] * 3,
    "std": [0.5] * 3,
    "interpolation": "bicubic",
    "view": "full",
}


def columns(stop: int) -> Operation:
    return Operation("columns", {"start": np.float32(0), "stop": np.float32(stop)})


def tower(name: str) -> dict:
    return {"name": name, "preprocessing": SEEN, "views": ["full"], "width": 1280}


AUDIT = {
    "image_encoder": "lite2",
    "preprocessing": SEEN,
    "views": ["full"],
    "encoders": [tower("lite2"), tower("lite0")],
}


def shipped(*operations: Operation, held_out: np.ndarray | None = None):
    fit = Fit(Head(operations), 2.0, {"c": 1.0}, 0.5, 1.0, held_out)
    fitted = FittedTrial(TrialKey("gda", 0.1, 3), fit, 88, 0.1, False)
    return trial_predictor(fitted, AUDIT, ("chess", "kabaddi"), {})


def test_an_arm_that_reads_all_towers_ships_with_all() -> None:
    predictor = shipped(Operation("l2_normalise"))
    assert [encoder.name for encoder in predictor.encoders] == ["lite2", "lite0"]
    assert predictor.origin["method"] == "gda"
    assert (predictor.origin["fraction"], predictor.temperature) == (0.1, 2.0)


def test_an_arm_that_reads_the_first_tower_ships_without_the_others() -> None:
    predictor = shipped(columns(1280), Operation("l2_normalise"))
    assert [encoder.name for encoder in predictor.encoders] == ["lite2"]
    assert predictor.head.describe() == ["l2_normalise"]


def test_a_head_on_a_part_of_the_first_tower_keeps_its_columns() -> None:
    head, alone = without_additional_encoders(Head((columns(3),)), 1280)
    assert not alone
    assert head.describe() == ["columns"]


def test_the_threshold_is_that_of_the_arm_s_own_held_out_answers() -> None:
    sure = np.linspace(0.6, 0.98, 20)
    held_out = np.stack([sure, 1 - sure], axis=1)
    predictor = shipped(Operation("l2_normalise"), held_out=held_out)
    assert predictor.threshold == sure[1]
    assert shipped(Operation("l2_normalise")).threshold is None
