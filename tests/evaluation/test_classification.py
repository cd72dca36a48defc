from __future__ import annotations

import numpy as np
import pytest

from sports_clip_pipeline.evaluation.metrics import classification_report, macro_f1, top_k_accuracy

PROBABILITIES = np.array([[0.7, 0.2, 0.1], [0.6, 0.3, 0.1], [0.1, 0.5, 0.4], [0.2, 0.3, 0.5]])
TARGET = np.array([0, 1, 1, 1])


def test_top_k_of_a_hand_made_table() -> None:
    assert [top_k_accuracy(PROBABILITIES, TARGET, k) for k in (1, 2, 3)] == [0.5, 1.0, 1.0]
    assert top_k_accuracy(np.full((4, 3), 1 / 3), TARGET, 1) == 0.0
    with pytest.raises(ValueError, match="4 rows of probabilities for 3 targets"):
        top_k_accuracy(PROBABILITIES, TARGET[:3], 1)


def test_macro_f1_averages_classes_evenly_and_absent_ones_count_zero() -> None:
    predicted = np.array([0, 0, 1, 2])
    f1_0, f1_1 = 2 * 0.5 * 1 / 1.5, 2 * 1 * (1 / 3) / (4 / 3)
    assert macro_f1(predicted, TARGET, 3) == pytest.approx((f1_0 + f1_1) / 3)
    assert macro_f1(TARGET, TARGET, 4) == 0.5


def test_the_report_of_a_hand_made_table() -> None:
    report = classification_report(PROBABILITIES, TARGET, ["a", "b", "c"])
    assert report["confusion"] == [[1, 0, 0], [1, 1, 1], [0, 0, 0]]
    assert (report["top1"], report["majority"], report["photographs"]) == (0.5, 0.75, 4)
    assert report["chance"] == pytest.approx(1 / 3)
    assert report["per_class"]["b"]["precision"] == 1.0
    assert report["per_class"]["b"]["recall"] == pytest.approx(1 / 3)
    assert report["per_class"]["c"] == {"precision": 0, "recall": 0, "f1": 0, "support": 0}
