"""What must hold of every few-label method."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sports_clip_pipeline.fewshot.base import METHODS, Fit, Labelled, Task, method_class
from tests.fewshot.factories import labelled, pretrained, toy, unlabelled


def fit(name: str, rows: Labelled, seed: int = 0, torn_anchors: bool = False) -> Fit:
    """The method on toy rows, in its own space, with unlabelled rows where it wants some.

    Args:
        torn_anchors: each class's text stands for its neighbour, so that zero-shot is always wrong.
    """
    spec = METHODS[name]
    others = unlabelled(60, rows.classes) if spec.unlabelled else None
    texts = replace(pretrained(rows.classes), space=spec.space)
    if torn_anchors:
        texts = replace(texts, zero_shot_weights=np.roll(texts.zero_shot_weights, 1, axis=0))
    return method_class(name)().fit(Task(rows, texts, seed, others))


def accuracy(found: Fit) -> float:
    """On toy images that no fit saw."""
    features, target = toy(200, 4, seed=7)
    return float((found.head(features).argmax(axis=1) == target).mean())


@pytest.mark.parametrize("name", METHODS)
def test_separable_classes_are_learned(name: str) -> None:
    found = fit(name, labelled(80, 4))
    assert accuracy(found) > 0.9
    assert found.cv_top1 > 0.8


@pytest.mark.parametrize("name", METHODS)
def test_shuffled_labels_teach_nothing(name: str) -> None:
    """The toy's texts name the classes, so a method that reads them may stay right; torn texts
    leave it nothing to be right by."""
    torn = fit(name, labelled(80, 4, shuffle=True), torn_anchors=True)
    assert accuracy(torn) < 0.55
    assert torn.cv_top1 < 0.45
    whole = fit(name, labelled(80, 4, shuffle=True))
    assert whole.cv_top1 < 0.45  # judged by shuffled labels, good texts are as wrong as any


@pytest.mark.parametrize("name", METHODS)
def test_a_hundred_labels_outweigh_texts_that_are_wrong(name: str) -> None:
    found = fit(name, labelled(100, 4), torn_anchors=True)
    assert found.cv_top1 > 0.8


@pytest.mark.parametrize("name", METHODS)
def test_two_classes_are_a_plain_case(name: str) -> None:
    features, target = toy(50, 2, seed=7)
    logits = fit(name, labelled(20, 2), 0).head(features)
    assert logits.shape == (50, 2)
    assert (logits.argmax(axis=1) == target).mean() > 0.9


@pytest.mark.parametrize("name", METHODS)
def test_one_image_of_a_class_is_enough_to_fit(name: str) -> None:
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
    with pytest.raises(ValueError, match=r"wanted one of notebook_mlp.*'svm'"):
        method_class("svm")
