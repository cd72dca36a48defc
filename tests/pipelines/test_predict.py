import numpy as np
import pandas as pd
import pytest

from sports_clip_pipeline.data.transforms import ImageTransform
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.io.state import RunState
from sports_clip_pipeline.pipelines.predict import nodes
from sports_clip_pipeline.predictor.head import Head, Operation
from sports_clip_pipeline.predictor.predictor import EncoderInput, Predictor

TRANSFORM = ImageTransform(64, (0.5,) * 3, (0.5,) * 3)
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


def column_head(*columns: int, width: int) -> Head:
    """A head whose logit of class c is the column `columns[c]`."""
    weight = np.eye(width, dtype=np.float32)[list(columns)]
    bias = np.zeros(len(columns), np.float32)
    return Head((Operation("affine", {"weight": weight, "bias": bias}),))


ARRAYS = {"features": one_hot(0, 0, 0, 1), "additional.lite0": one_hot(2, 2, 2, 2)}


def predicted(head: Head, *additional: str) -> pd.DataFrame:
    """The submission of a predictor on lite2; frozen encoders need no images."""
    inputs = tuple(EncoderInput(name, TRANSFORM, (), 1280) for name in ("lite2", *additional))
    predictor = Predictor(LABELS, inputs, head)
    return nodes.predict_test(predictor, ARRAYS, None, None, SPLITS, ORDER, RunState())


def test_predictions_stand_in_the_order_of_the_submission() -> None:
    table = predicted(column_head(0, 1, 2, width=1280))
    assert table.to_dict("list") == {"image": ["d.jpg", "b.jpg"], "sports": ["Chess", "Baseball"]}


def test_a_predictor_of_two_encoders_uses_the_features_of_both() -> None:
    table = predicted(column_head(5, 1, 1280 + 2, width=2560), "lite0")
    # Class 2 reads column 2 of lite0, which is 1 everywhere; d.jpg ties with class 1.
    assert table["sports"].tolist() == ["Chess", "Kabaddi"]


def test_an_additional_encoder_without_features_is_named() -> None:
    with pytest.raises(UserFacingError, match="additional encoder lite1: are not there"):
        predicted(column_head(0, 1, 2, width=2560), "lite1")


def test_the_zero_shot_submission_holds_the_test_images_only() -> None:
    predictions = SPLITS.assign(predicted=["Chess", "Kabaddi", "Chess", "Baseball"])
    table = nodes.predict_test_without_labels(predictions, ORDER)
    assert table.to_dict("list") == {"image": ["d.jpg", "b.jpg"], "sports": ["Baseball", "Kabaddi"]}
