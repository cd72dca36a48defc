"""What must hold of every few-shot method, and the cache that methods share."""

from dataclasses import replace

import numpy as np
import pytest

from sports_clip_pipeline.fewshot import base
from sports_clip_pipeline.fewshot.base import METHODS, Fit, Labelled, ResultCache, method_class
from tests.fewshot.factories import labelled, task, toy

ALL = pytest.mark.parametrize("name", METHODS)


def fit(name: str, rows: Labelled, seed: int = 0, wrong_text: bool = False) -> Fit:
    """The method on toy rows; `wrong_text` swaps the classes' texts, so zero-shot is wrong."""
    given = task(rows, name, seed)
    if wrong_text:
        weights = np.roll(given.pretrained.zero_shot_weights, 1, axis=0)
        given = replace(given, pretrained=replace(given.pretrained, zero_shot_weights=weights))
    return method_class(name)().fit(given)


def accuracy(found: Fit, classes: int = 4) -> float:
    """On toy images that no fit saw."""
    features, target = toy(200, classes, seed=7)
    return float((found.head(features).argmax(axis=1) == target).mean())


@ALL
def test_separable_classes_are_learned(name: str) -> None:
    found = fit(name, labelled(80, 4))
    assert accuracy(found) > 0.9
    assert found.cv_top1 > 0.8


@ALL
def test_shuffled_labels_teach_nothing(name: str) -> None:
    """Texts name the classes, so only with wrong texts is there nothing to be right by."""
    found = fit(name, labelled(80, 4, shuffle=True), wrong_text=True)
    assert accuracy(found) < 0.55
    assert found.cv_top1 < 0.45
    assert fit(name, labelled(80, 4, shuffle=True)).cv_top1 < 0.45


@ALL
def test_a_hundred_labels_outweigh_wrong_texts(name: str) -> None:
    assert fit(name, labelled(100, 4), wrong_text=True).cv_top1 > 0.8


@ALL
def test_two_classes_are_learned(name: str) -> None:
    assert accuracy(fit(name, labelled(20, 2)), classes=2) > 0.9


@ALL
def test_one_image_of_a_class_is_enough_to_fit(name: str) -> None:
    rows = labelled(9, 3)
    subset = np.array([0, 1, 2, 3, 4, 6, 7])  # class 2 keeps its first row alone
    fold = np.array([0, 0, -1, 1, 1, 0, 0])
    found = fit(name, Labelled(rows.features[subset], rows.target[subset], fold, 3))
    assert found.head(rows.features).shape == (9, 3)
    assert np.isfinite(found.head(rows.features)).all()


@ALL
def test_equal_seeds_give_equal_heads(name: str) -> None:
    one, two = (fit(name, labelled(30, 3), 5) for _ in range(2))
    features, _ = toy(10, 3, seed=3)
    np.testing.assert_array_equal(one.head(features), two.head(features))
    assert one.hyperparameters == two.hyperparameters


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(ValueError, match=r"wanted one of notebook_mlp.*'svm'"):
        method_class("svm")


def test_a_trial_is_charged_once_for_what_it_reuses(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 1000, 7))
    monkeypatch.setattr(base.time, "perf_counter", lambda: float(next(clock)))
    cache, computed = ResultCache(), []
    for reused_s in (0.0, 7.0):  # its own result, then that of the trial before
        cache.begin_trial()
        for _ in range(3):
            assert cache.get("sum", lambda: computed.append(1) or 5) == 5
        assert cache.reused_s == reused_s
    assert computed == [1]


def test_other_rows_have_a_cache_of_their_own() -> None:
    rows = labelled(60, 3)
    rows.cache.get("something", lambda: 1)
    for other in (rows.where(rows.target > 0), replace(rows, features=rows.features + 1)):
        assert other.cache.get("something", lambda: 2) == 2
