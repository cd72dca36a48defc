"""What must hold of every few-label method."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sports_clip_pipeline.config.methods import METHODS
from sports_clip_pipeline.training.methods import find_method
from sports_clip_pipeline.training.methods.interface import Fit, Labelled
from tests.training.making import FAST, anchors, labelled, toy, unlabelled


def fit(name: str, rows: Labelled, seed: int = 0) -> Fit:
    """The method on toy rows, in its own space, with unlabelled rows where it wants some."""
    spec = METHODS[name]
    others = unlabelled(60, rows.classes) if spec.unlabelled else None
    texts = replace(anchors(rows.classes), space=spec.space)
    return find_method(name)(rows, texts, FAST, seed, others)


@pytest.mark.parametrize("name", METHODS)
def test_separable_classes_are_learned_and_shuffled_labels_are_not(name: str) -> None:
    features, target = toy(200, 4, seed=7)
    found = fit(name, labelled(80, 4), 0)
    assert (found.head(features).argmax(axis=1) == target).mean() > 0.9
    assert found.cv_top1 > 0.8

    torn = fit(name, labelled(80, 4, shuffle=True), 0)
    assert (torn.head(features).argmax(axis=1) == target).mean() < 0.55
    assert torn.cv_top1 < 0.45


@pytest.mark.parametrize("name", METHODS)
def test_two_classes_are_a_plain_case(name: str) -> None:
    features, target = toy(50, 2, seed=7)
    logits = fit(name, labelled(20, 2), 0).head(features)
    assert logits.shape == (50, 2)
    assert (logits.argmax(axis=1) == target).mean() > 0.9


@pytest.mark.parametrize("name", METHODS)
def test_one_photograph_of_a_class_is_enough_to_fit(name: str) -> None:
    rows = labelled(9, 3)
    keep = np.array([0, 1, 2, 3, 4, 6, 7])  # class 2 keeps its first row alone
    fold = np.array([0, 0, -1, 1, 1, 0, 0])
    few = type(rows)(rows.features[keep], rows.target[keep], fold, 3)
    found = fit(name, few, 0)
    assert np.isfinite(found.head(rows.features)).all()
    assert found.head(rows.features).shape == (9, 3)


@pytest.mark.parametrize("name", METHODS)
def test_equal_seeds_give_equal_heads(name: str) -> None:
    one, two = (fit(name, labelled(30, 3), 5) for _ in range(2))
    features, _ = toy(10, 3, seed=3)
    np.testing.assert_array_equal(one.head(features), two.head(features))
    assert one.hyperparameters == two.hyperparameters


def test_a_method_that_is_not_listed_is_refused() -> None:
    with pytest.raises(ValueError, match=r"method is one of notebook_mlp.*'svm'"):
        find_method("svm")
