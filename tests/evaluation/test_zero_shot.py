from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sports_clip_pipeline.evaluation.zero_shot_evaluation import (
    Variant,
    ablation_table,
    encode_labels,
    score_table,
    zero_shot_table,
)

LABELS = ("Chess", "Kabaddi")


def table() -> pd.DataFrame:
    manifest = pd.DataFrame({"image": ["a", "b", "c"]})
    splits = pd.DataFrame(
        {
            "image": ["c", "a", "b"],
            "split": ["evaluation", "evaluation", "unlabelled"],
            "label": ["Kabaddi", "Kabaddi", None],
        }
    )
    return zero_shot_table(np.log(3.0) * np.eye(2)[[0, 1, 1]], manifest, splits, LABELS)


def test_each_photograph_goes_to_its_nearest_anchor_in_the_order_of_the_splits() -> None:
    found = table()
    assert found["image"].tolist() == ["c", "a", "b"]
    assert found["predicted"].tolist() == ["Kabaddi", "Chess", "Kabaddi"]
    np.testing.assert_allclose(found["probability"], 0.75, rtol=1e-6)
    np.testing.assert_allclose(found["probabilities"][1], [0.75, 0.25], rtol=1e-6)


def test_the_score_speaks_of_the_evaluation_part_alone() -> None:
    score = score_table(table(), LABELS, 200, 0)
    assert (score["photographs"], score["top1"]) == (2, 0.5)
    low, high = score["top1_ci95"]
    assert (low, high) == (0.0, 1.0)


def test_a_label_outside_the_class_bank_is_named() -> None:
    assert encode_labels(pd.Series(["Kabaddi", "Chess"]), LABELS).tolist() == [1, 0]
    with pytest.raises(ValueError, match="'Curling' is not in the class bank"):
        encode_labels(pd.Series(["Chess", "Curling"]), LABELS)


def test_the_ablation_judges_every_variant_on_the_same_photographs() -> None:
    target = np.array([0, 0, 1, 1])
    right = Variant("right", "nothing", "captions", np.eye(2)[target])
    half = Variant("half", "all one class", "captions", np.eye(2)[[0, 0, 0, 0]])
    table = ablation_table([right, half], target, 200, 0)
    assert table["name"].tolist() == ["right", "half"]
    assert table["top1"].tolist() == [1.0, 0.5]
    assert (table["low"] <= table["top1"]).all() and (table["top1"] <= table["high"]).all()
    assert table["macro_f1"].tolist() == pytest.approx([1.0, (2 / 3) / 2])
