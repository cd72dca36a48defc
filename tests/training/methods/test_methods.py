"""What must hold of every few-label method."""

from __future__ import annotations

import numpy as np
import pytest

from sports_clip_pipeline.config import finetune
from sports_clip_pipeline.training.methods import METHODS, find_method
from tests.training.making import FAST, anchors, labelled, toy


@pytest.mark.parametrize("name", METHODS)
def test_separable_classes_are_learned_and_shuffled_labels_are_not(name: str) -> None:
    features, target = toy(200, 4, seed=7)
    fit = find_method(name)(labelled(80, 4), anchors(4), FAST, 0)
    assert (fit.head(features).argmax(axis=1) == target).mean() > 0.9
    assert fit.cv_top1 > 0.8

    torn = find_method(name)(labelled(80, 4, shuffle=True), anchors(4), FAST, 0)
    assert (torn.head(features).argmax(axis=1) == target).mean() < 0.55
    assert torn.cv_top1 < 0.45


@pytest.mark.parametrize("name", METHODS)
def test_two_classes_are_a_plain_case(name: str) -> None:
    features, target = toy(50, 2, seed=7)
    logits = find_method(name)(labelled(20, 2), anchors(2), FAST, 0).head(features)
    assert logits.shape == (50, 2)
    assert (logits.argmax(axis=1) == target).mean() > 0.9


@pytest.mark.parametrize("name", METHODS)
def test_one_photograph_of_a_class_is_enough_to_fit(name: str) -> None:
    rows = labelled(9, 3)
    keep = np.array([0, 1, 2, 3, 4, 6, 7])  # class 2 keeps its first row alone
    fold = np.array([0, 0, -1, 1, 1, 0, 0])
    few = type(rows)(rows.features[keep], rows.target[keep], fold, 3)
    fit = find_method(name)(few, anchors(3), FAST, 0)
    assert np.isfinite(fit.head(rows.features)).all()
    assert fit.head(rows.features).shape == (9, 3)


@pytest.mark.parametrize("name", METHODS)
def test_equal_seeds_give_equal_heads(name: str) -> None:
    one, two = (find_method(name)(labelled(30, 3), anchors(3), FAST, 5) for _ in range(2))
    features, _ = toy(10, 3, seed=3)
    np.testing.assert_array_equal(one.head(features), two.head(features))
    assert one.hyperparameters == two.hyperparameters


def test_methods_are_those_of_the_configuration_and_others_are_refused() -> None:
    assert METHODS == finetune.METHODS
    with pytest.raises(ValueError, match=r"method is one of notebook_mlp.*'svm'"):
        find_method("svm")
