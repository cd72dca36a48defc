from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sports_clip_pipeline.data.transforms import ImageTransform
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.io.state import RunState
from sports_clip_pipeline.pipelines.predict import nodes
from sports_clip_pipeline.pipelines.predict.pipeline import create_pipeline
from sports_clip_pipeline.predictor.head import Head, Operation
from sports_clip_pipeline.predictor.predictor import EncoderInput, Predictor

SEEN = ImageTransform(64, (0.5,) * 3, (0.5,) * 3)
LABELS = ("Baseball", "Chess", "Kabaddi")
SPLITS = pd.DataFrame(
    {
        "image": ["a.jpg", "b.jpg", "c.jpg", "d.jpg"],
        "split": ["development", "unlabelled", "test", "unlabelled"],
    }
)
ORDER = pd.DataFrame({"image": ["d.jpg", "b.jpg"]})


def one_hot(*columns: int) -> np.ndarray:
    """Features (N, 1280) that are 1 at one column each."""
    return np.eye(1280, dtype=np.float32)[list(columns)]


def reads(*columns: int, width: int) -> Head:
    """A head whose logit of class c is the column `columns[c]`."""
    weight = np.eye(width, dtype=np.float32)[list(columns)]
    bias = np.zeros(len(columns), np.float32)
    return Head((Operation("affine", {"weight": weight, "bias": bias}),))


ARRAYS = {"features": one_hot(0, 0, 0, 1), "additional.lite0": one_hot(2, 2, 2, 2)}


def predicted(predictor: Predictor) -> pd.DataFrame:
    """The node's table; frozen towers ask for no image."""
    return nodes.predict_test(predictor, ARRAYS, None, None, SPLITS, ORDER, RunState())


def test_the_answers_stand_in_the_order_asked_for() -> None:
    predictor = Predictor(LABELS, "lite2", SEEN, reads(0, 1, 2, width=1280))
    table = predicted(predictor)
    assert table.to_dict("list") == {"image": ["d.jpg", "b.jpg"], "sports": ["Chess", "Baseball"]}


def test_a_predictor_of_two_towers_is_given_both() -> None:
    head = reads(5, 1, 1280 + 2, width=2560)
    companion = EncoderInput("lite0", SEEN, (), 1280)
    predictor = Predictor(LABELS, "lite2", SEEN, head, additional_encoders=(companion,))
    table = predicted(predictor)
    # Class 2 reads column 2 of the companion, which is 1 everywhere; for d class 1 is as good.
    assert table["sports"].tolist() == ["Chess", "Kabaddi"]


def test_a_companion_that_was_not_embedded_is_named() -> None:
    companion = EncoderInput("lite1", SEEN, (), 1280)
    predictor = Predictor(
        LABELS, "lite2", SEEN, reads(0, 1, 2, width=2560), additional_encoders=(companion,)
    )
    with pytest.raises(UserFacingError, match="additional encoder lite1: are not there"):
        predicted(predictor)


def test_the_zero_shot_answers_are_those_of_the_test_images_alone() -> None:
    said = SPLITS.assign(predicted=["Chess", "Kabaddi", "Chess", "Baseball"])
    table = nodes.predict_test_without_labels(said, ORDER)
    assert table.to_dict("list") == {
        "image": ["d.jpg", "b.jpg"],
        "sports": ["Baseball", "Kabaddi"],
    }


def test_the_pipeline_makes_both_submissions() -> None:
    assert create_pipeline().outputs() == {"submission", "zero_shot_submission"}
