import numpy as np
import pandas as pd
import pytest

from sports_clip_pipeline.evaluation.predictions import (
    group_trials,
    predictions_table,
    submission_table,
)

TARGET = np.array([0, 1])
CORRECT, WRONG = np.eye(2, dtype=np.float16), np.eye(2, dtype=np.float16)[::-1]


def test_trials_that_differ_in_their_seed_are_grouped_in_order_of_seeds() -> None:
    groups = group_trials({"b/0.5/0": CORRECT, "a/0.01/2": WRONG, "a/0.01/0": CORRECT}, TARGET)
    assert list(groups) == [("a", 0.01), ("b", 0.5)]
    group = groups["a", 0.01]
    assert group.seeds == (0, 2)
    assert group.predicted().tolist() == [[0, 1], [1, 0]]
    assert group.correct(TARGET).tolist() == [[True, True], [False, False]]
    assert list(group_trials({"x/y/1/0": CORRECT}, TARGET)) == [("x/y", 1.0)]


@pytest.mark.parametrize("name", ["a/0.1", "a/half/0", "a/0.1/x"])
def test_trial_names_of_another_form_are_rejected(name: str) -> None:
    with pytest.raises(ValueError, match=r"method/fraction/seed, got 'a/"):
        group_trials({name: CORRECT}, TARGET)


def test_a_missing_row_is_named() -> None:
    with pytest.raises(ValueError, match=r"a/1/0: 2 rows of probabilities, 3 targets"):
        group_trials({"a/1/0": CORRECT}, np.zeros(3, int))


def test_a_submission_has_the_rows_and_the_order_of_the_competition() -> None:
    order = pd.DataFrame({"image": ["c.jpg", "a.jpg", "b.jpg"]})
    table = submission_table(order, ["a.jpg", "b.jpg", "c.jpg", "d.jpg"], ["A", "B", "C", "D"])
    assert list(table.columns) == ["image", "sports"]
    assert table.to_numpy().tolist() == [["c.jpg", "C"], ["a.jpg", "A"], ["b.jpg", "B"]]


def test_an_unreadable_image_gets_the_most_frequent_label_with_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    order = pd.DataFrame({"image": ["a.jpg", "x.jpg", "y.jpg"]})
    table = submission_table(order, ["a.jpg", "b.jpg", "c.jpg"], ["A", "B", "B"])
    assert table["sports"].tolist() == ["A", "B", "B"]
    assert "2 test images could not be read (x.jpg first)" in caplog.text


def test_zero_shot_and_fine_tuned_predictions_are_side_by_side() -> None:
    zero_shot = pd.DataFrame({"image": ["1"], "label": ["b"]})
    zero_shot["probabilities"] = [np.array([0.4, 0.1, 0.2, 0.2, 0.05, 0.05], dtype=np.float32)]
    labels = list("abcdef")
    probabilities = np.array([[0.1, 0.4, 0.2, 0.15, 0.1, 0.05]])
    row = predictions_table(zero_shot, probabilities, labels).iloc[0]
    assert (row["zero_shot_label"], row["finetuned_label"]) == ("a", "b")
    assert row["finetuned_probability"] == 0.4
    assert row["finetuned_top5"] == ["b", "c", "d", "a", "e"]
    assert row["finetuned_top5_probabilities"] == pytest.approx([0.4, 0.2, 0.15, 0.1, 0.1])
    assert row["zero_shot_top5"] == ["a", "c", "d", "b", "e"]
    assert row["zero_shot_top5_probabilities"] == pytest.approx([0.4, 0.2, 0.2, 0.1, 0.05])
    with pytest.raises(ValueError, match="1 zero-shot rows, 2 fine-tuned ones"):
        predictions_table(zero_shot, np.ones((2, 6)), labels)


def test_fewer_than_five_classes_are_all_listed() -> None:
    both = np.array([[0.2, 0.8]])
    zero_shot = pd.DataFrame({"image": ["1"], "label": ["a"], "probabilities": list(both)})
    row = predictions_table(zero_shot, both, ["a", "b"]).iloc[0]
    assert row["zero_shot_top5"] == row["finetuned_top5"] == ["b", "a"]
