from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sports_clip_pipeline.evaluation.test_predictions import evaluation_table, submission_table


def test_a_submission_has_the_rows_and_the_order_that_were_asked_for() -> None:
    order = pd.DataFrame({"image": ["c.jpg", "a.jpg", "b.jpg"]})
    table = submission_table(order, ["a.jpg", "b.jpg", "c.jpg", "d.jpg"], ["A", "B", "C", "D"])
    assert list(table.columns) == ["image", "sports"]
    assert table.to_numpy().tolist() == [["c.jpg", "C"], ["a.jpg", "A"], ["b.jpg", "B"]]


def test_a_photograph_that_could_not_be_read_gets_the_most_frequent_answer_and_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    order = pd.DataFrame({"image": ["a.jpg", "x.jpg", "y.jpg"]})
    table = submission_table(order, ["a.jpg", "b.jpg", "c.jpg"], ["A", "B", "B"])
    assert table["sports"].tolist() == ["A", "B", "B"]
    assert "2 test photographs could not be read (x.jpg first)" in caplog.text


def test_both_answers_stand_side_by_side() -> None:
    zero_shot = pd.DataFrame(
        {
            "image": ["1"],
            "label": ["b"],
            "predicted": ["a"],
            "probability": [0.4],
            "probabilities": [np.array([0.4, 0.1, 0.2, 0.2, 0.05, 0.05], dtype=np.float32)],
        }
    )
    labels = list("abcdef")
    probabilities = np.array([[0.1, 0.4, 0.2, 0.15, 0.1, 0.05]])
    row = evaluation_table(zero_shot, probabilities, labels).iloc[0]
    assert (row["zero_shot_label"], row["finetuned_label"]) == ("a", "b")
    assert row["finetuned_probability"] == 0.4
    assert row["finetuned_top5"] == ["b", "c", "d", "a", "e"]
    assert row["finetuned_top5_probabilities"] == pytest.approx([0.4, 0.2, 0.15, 0.1, 0.1])
    assert row["zero_shot_top5"] == ["a", "c", "d", "b", "e"]
    assert row["zero_shot_top5_probabilities"] == pytest.approx([0.4, 0.2, 0.2, 0.1, 0.05])
    with pytest.raises(ValueError, match="1 zero-shot rows, 2 fine-tuned ones"):
        evaluation_table(zero_shot, np.ones((2, 6)), labels)


def test_of_fewer_than_five_classes_there_are_as_many_answers() -> None:
    both = np.array([[0.2, 0.8]])
    zero_shot = pd.DataFrame(
        {"image": ["1"], "label": ["a"], "predicted": ["b"], "probability": [0.8]}
    ).assign(probabilities=list(both))
    row = evaluation_table(zero_shot, both, ["a", "b"]).iloc[0]
    assert row["zero_shot_top5"] == row["finetuned_top5"] == ["b", "a"]
