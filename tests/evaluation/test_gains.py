from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import precision_recall_fscore_support

from sports_clip_pipeline.evaluation.recommendation import class_gains, remaining_confusions

LABELS = ("Chess", "Cricket", "Kabaddi")
TARGET = np.array([0, 0, 1, 1, 2, 2])


def says(*classes: int) -> np.ndarray:
    return np.eye(3, dtype=np.float16)[list(classes)]


ZERO_SHOT = says(0, 0, 0, 1, 1, 1)
ARMS = {
    "a/0.1/0": says(0, 0, 1, 1, 1, 2),
    "a/0.1/1": says(0, 0, 1, 1, 2, 2),
    "a/1/0": says(0, 0, 1, 1, 2, 2),
    "other/1/0": says(0, 0, 0, 0, 0, 0),
}


def test_gains_of_a_hand_made_study() -> None:
    table = class_gains("a", ARMS, TARGET, LABELS, ZERO_SHOT)
    assert table["label"].tolist() == [name for name in LABELS for _ in range(3)]
    assert table["fraction"].tolist() == [0.0, 0.1, 1.0] * 3
    assert table["seeds"].tolist() == [1, 2, 1] * 3
    assert set(table["photographs"]) == {2}
    kabaddi = table[table["label"] == "Kabaddi"]
    assert kabaddi["recall"].tolist() == [0.0, 0.75, 1.0]
    assert kabaddi["recall_gain"].tolist() == [0.0, 0.75, 1.0]
    assert kabaddi["f1"].tolist() == pytest.approx([0.0, (2 / 3 + 1) / 2, 1.0])
    chess = table[table["label"] == "Chess"]
    assert chess["precision"].tolist() == pytest.approx([2 / 3, 1.0, 1.0])
    assert chess["recall_gain"].tolist() == [0.0, 0.0, 0.0]
    assert chess["f1_gain"].tolist() == pytest.approx([0.0, 0.2, 0.2])


def test_figures_agree_with_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    target = rng.integers(4, size=80)
    probabilities = rng.dirichlet(np.ones(5), 80)
    table = class_gains("a", {"a/1/0": probabilities}, target, list("abcde"), probabilities)
    expected = precision_recall_fscore_support(
        target, probabilities.argmax(axis=1), labels=range(5), zero_division=0
    )
    own = table[table["fraction"] == 1.0]
    for column, values in zip(("precision", "recall", "f1"), expected, strict=False):
        np.testing.assert_allclose(own[column], values)


def test_an_unknown_method_is_named() -> None:
    with pytest.raises(ValueError, match="no arm of b"):
        class_gains("b", ARMS, TARGET, LABELS, ZERO_SHOT)


def test_confusions_count_both_ways_and_share_the_errors() -> None:
    said = says(0, 1, 0, 0, 1, 2)  # Chess as Cricket once, Cricket as Chess twice, Kabaddi once
    table = remaining_confusions([said], TARGET, LABELS)
    assert table.to_numpy().tolist() == [
        ["Chess", "Cricket", 3.0, 1.0, 2.0, 0.75],
        ["Cricket", "Kabaddi", 1.0, 0.0, 1.0, 0.25],
    ]
    assert len(remaining_confusions([said], TARGET, LABELS, top=1)) == 1


def test_confusions_are_means_over_seeds_and_none_are_left_of_a_perfect_classifier() -> None:
    both = [says(0, 0, 1, 1, 2, 2), says(0, 0, 1, 1, 2, 1)]
    table = remaining_confusions(both, TARGET, LABELS)
    assert table["photographs"].tolist() == [0.5]
    assert table["share"].tolist() == [1.0]
    assert remaining_confusions(both[:1], TARGET, LABELS).empty
