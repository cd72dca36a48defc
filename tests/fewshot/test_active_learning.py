from __future__ import annotations

import numpy as np
import pytest

from sports_clip_pipeline.fewshot.active_learning import (
    query_images,
    query_typical,
    query_uncertain,
)

LABELS = ("Chess", "Cricket")


def circle(*degrees: float) -> np.ndarray:
    """(M, 2) points of norm 1."""
    angles = np.deg2rad(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


NONE = np.empty((0, 2))


def test_typical_ones_come_from_the_largest_group_without_a_label() -> None:
    features = circle(0, 2, 4, 90, 93, 95, 96, 98, 180, 181)
    chosen, described = query_typical(features, NONE, 3, seed=0)
    assert chosen.tolist() == [5, 1, 8]  # the middle of five, of three, of two
    assert described == [(5, 0), (3, 0), (2, 0)]


def test_a_group_with_a_label_waits() -> None:
    features = circle(0, 2, 4, 90, 93, 95, 96, 98, 180, 181)
    chosen, _ = query_typical(features, circle(94), 2, seed=0)
    assert chosen.tolist() == [1, 8]
    chosen, _ = query_typical(features, circle(94), 9, seed=0)
    assert len(set(chosen.tolist())) == 9


def test_of_the_undecided_the_ones_apart_are_taken() -> None:
    features = circle(0, 1, 2, 50, 51, 90)
    margin = np.array([0.0, 0.01, 0.02, 0.03, 0.04, 0.9])
    assert query_uncertain(margin, features, NONE, 2, pool=2).tolist() == [0, 3]
    assert query_uncertain(margin, features, circle(49), 1, pool=5).tolist() == [0]
    assert query_uncertain(margin, features, circle(-5), 2, pool=3).tolist() == [5, 3]


def test_greedy_k_centre_agrees_with_the_naive_twin() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(60, 5))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    labelled, unlabelled = features[:8], features[8:]
    margin = rng.random(52)
    candidates = sorted(range(52), key=lambda i: margin[i])[:50]
    centres, expected = list(labelled), []
    for _ in range(5):
        far = {
            i: min(np.linalg.norm(unlabelled[i] - c) for c in centres)
            for i in candidates
            if i not in expected
        }
        expected.append(max(far, key=far.__getitem__))
        centres.append(unlabelled[expected[-1]])
    assert query_uncertain(margin, unlabelled, labelled, 5).tolist() == expected


def test_few_labels_ask_for_typical_and_many_for_undecided_images() -> None:
    features = circle(0, 2, 4, 90)
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.45, 0.55], [0.7, 0.3]])
    names = ["a", "b", "c", "d"]
    few = query_images(names, probabilities, features, NONE, LABELS, 2)
    assert few["image"].tolist() == ["b", "d"]
    assert few["reason"][0] == "typical of 3 alike images, of which none had a label"
    many = query_images(names, probabilities, features, circle(*[1] * 20), LABELS, 1)
    assert many["image"].tolist() == ["d"]
    assert many["reason"].tolist() == ["undecided between Chess and Cricket"]
    assert many["margin"].tolist() == pytest.approx([0.4])
    assert list(many.columns) == ["image", "rank", "reason", "predicted", "probability", "margin"]


def test_a_budget_beyond_what_there_is_takes_everything_once() -> None:
    features = circle(0, 0, 0, 90)
    probabilities = np.full((4, 2), 0.5, dtype=np.float16)
    for below in (0.0, 10.0):
        table = query_images(list("abcd"), probabilities, features, NONE, LABELS, 9, 0, below)
        assert sorted(table["image"]) == list("abcd")
        assert table["rank"].tolist() == [1, 2, 3, 4]


def test_where_all_have_a_label_there_is_none_to_ask_for() -> None:
    for below in (0.0, 10.0):
        nobody = np.zeros((0, 2))
        table = query_images([], nobody, nobody, circle(0, 90), LABELS, 9, 0, below)
        assert table.empty and "reason" in table


def test_other_lengths_and_no_budget_are_refused() -> None:
    with pytest.raises(ValueError, match="1 images, 2 probabilities, 2 features"):
        query_images(["a"], np.ones((2, 2)), circle(0, 1), NONE, LABELS, 1)
    with pytest.raises(ValueError, match="at least 1 image, got 0"):
        query_images(["a"], np.ones((1, 2)), circle(0), NONE, LABELS, 0)
