import json

import numpy as np
import pandas as pd
import pytest

from sports_clip_pipeline.report.metrics import compose_metrics, fraction_key

ZERO_SHOT = {"top1": 0.5, "top5": 0.8, "macro_f1": 0.4, "chance": 0.1, "classes": ["a"]}
RANKS = {"r1": 0.2, "r5": 0.4, "r10": 0.6}
RETRIEVAL = {"t2i": RANKS, "i2t": RANKS, "images": 10, "captions": 50}


def curves(**changes) -> pd.DataFrame:
    columns = {
        "method": ["logreg", "logreg"],
        "fraction": [0.01, 1.0],
        "labels": [88, 8800],
        "seeds": [np.array([0, 1]), [0]],
        "top1_mean": [0.6, 0.9],
        "top1_low": [0.55, 0.88],
        "top1_high": [0.65, 0.92],
        "macro_f1_mean": [0.58, 0.89],
    }
    return pd.DataFrame({**columns, **changes})


def test_metrics_have_exactly_the_documented_form():
    metrics = compose_metrics(ZERO_SHOT, RETRIEVAL, curves())
    assert metrics == {
        "zero_shot": {"top1": 0.5, "top5": 0.8, "macro_f1": 0.4},
        "retrieval": {"t2i": RANKS, "i2t": RANKS},
        "finetune": {
            "logreg": {
                "0.01": {
                    "top1_mean": 0.6,
                    "top1_ci95": [0.55, 0.65],
                    "macro_f1_mean": 0.58,
                    "seeds": [0, 1],
                    "labels": 88,
                },
                "1.0": {
                    "top1_mean": 0.9,
                    "top1_ci95": [0.88, 0.92],
                    "macro_f1_mean": 0.89,
                    "seeds": [0],
                    "labels": 8800,
                },
            }
        },
    }
    assert json.loads(json.dumps(metrics)) == metrics


def test_curves_of_several_plans_are_side_by_side():
    end_to_end = curves(method=["flyp", "flyp"])
    metrics = compose_metrics(ZERO_SHOT, RETRIEVAL, curves(), end_to_end, curves().iloc[:0])
    assert list(metrics["finetune"]) == ["logreg", "flyp"]


@pytest.mark.parametrize(
    ("fraction", "key"),
    [(0.01, "0.01"), (0.1, "0.1"), (1, "1.0"), (np.float32(0.05), "0.05"), (0.25, "0.25")],
)
def test_fractions_are_written_as_short_decimals(fraction, key):
    assert fraction_key(fraction) == key


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"top1_mean": [1.2, 0.9]}, r"finetune > logreg > 0\.01 > top1_mean"),
        ({"top1_mean": [float("nan"), 0.9]}, r"finetune > logreg > 0\.01 > top1_mean"),
        ({"top1_high": [0.65, 1.01]}, r"1\.0 > top1_ci95"),
        ({"method": ["logreg.frozen"] * 2}, r"'logreg\.frozen' holds a dot"),
        ({"fraction": [1.0, 1.0]}, "twice"),
    ],
)
def test_bad_shares_names_and_repeated_points_are_rejected(changes, message):
    with pytest.raises(ValueError, match=message):
        compose_metrics(ZERO_SHOT, RETRIEVAL, curves(**changes))


def test_retrieval_is_checked_too():
    wrong = {**RETRIEVAL, "t2i": {**RANKS, "r5": 49.2}}
    with pytest.raises(ValueError, match="retrieval > t2i > r5"):
        compose_metrics(ZERO_SHOT, wrong, curves())
