import numpy as np
import pytest

from sports_clip_pipeline.fewshot.base import Labelled
from sports_clip_pipeline.fewshot.cross_validation import (
    assign_folds,
    cross_validate,
    fit_temperature,
    log_loss,
)
from sports_clip_pipeline.fewshot.end_to_end_study import held_out_rows
from sports_clip_pipeline.predictor.head import Head, affine


def folds_of(target: np.ndarray, seed: int) -> np.ndarray:
    return assign_folds(target, np.arange(len(target)), 5, seed)


def test_each_fold_holds_out_an_even_share_of_each_class() -> None:
    target = np.repeat([0, 1, 2], [10, 15, 20])
    fold = folds_of(target, 0)
    for label, size in ((0, 10), (1, 15), (2, 20)):
        assert np.bincount(fold[target == label]).tolist() == [size // 5] * 5


def test_a_rare_class_is_held_out_by_some_folds_and_single_rows_by_none() -> None:
    fold = folds_of(np.array([0, 0, 0, 0, 0, 1, 1, 1]), 0)
    assert sorted(fold[:5]) == [0, 1, 2, 3, 4]
    assert len(set(fold[5:])) == 3
    fold = folds_of(np.array([0, 0, 0, 0, 1, 1, 2]), 0)
    assert fold[6] == -1
    assert (fold[:6] >= 0).all()


def test_no_fold_holds_out_all_rows_of_a_class() -> None:
    target = np.repeat([0, 1, 2], [2, 3, 11])
    fold = folds_of(target, 1)
    for k in range(5):
        assert set(target[fold != k]) == {0, 1, 2}


def test_folds_depend_on_the_seed_alone() -> None:
    target = np.arange(40) % 4
    one, same, other = (folds_of(target, seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("seed", range(20))
def test_near_duplicates_are_held_out_together_and_no_class_at_once(seed: int) -> None:
    rng = np.random.default_rng(seed)
    target = np.sort(rng.integers(0, 5, 60))
    groups = rng.integers(0, 40, 60)  # some hold images of two classes
    fold = assign_folds(target, groups, 5, seed)
    out = held_out_rows(target, groups, 0.2, seed)
    for group in np.unique(groups):
        assert len(set(fold[groups == group])) == len(set(out[groups == group])) == 1
    for hidden in (*(fold == k for k in range(5)), out):
        assert set(target[~hidden]) == set(target)
    assert fold.max() == 4
    assert 5 <= out.sum() <= 30


def test_a_class_of_one_group_is_never_held_out() -> None:
    target, groups = np.array([0, 0, 0, 1, 1, 1]), np.array([7, 7, 7, 1, 2, 2])
    assert assign_folds(target, groups, 3, 0)[:3].tolist() == [-1] * 3
    assert set(assign_folds(target, groups, 3, 0)[3:]) == {1, 2}
    assert not held_out_rows(target, groups, 0.5, 0)[:3].any()


def test_log_loss_by_hand() -> None:
    assert log_loss(np.zeros((5, 2)), np.zeros(5, int)) == pytest.approx(np.log(2))
    assert log_loss(np.array([[1000.0, 0.0]]), np.array([0])) == 0.0
    logits, expected = np.log([[0.5, 0.25, 0.25]]), np.array([[0.5, 0.5, 0.0]])
    assert log_loss(logits, expected) == pytest.approx(1.5 * np.log(2))


def test_the_temperature_undoes_a_scale_of_calibrated_logits() -> None:
    """Logits [log 3, 0] with 3 of 4 right are calibrated; ten times as large they want T = 10."""
    logits = np.tile([[np.log(3.0), 0.0]], (4, 1))
    target = np.array([0, 0, 0, 1])
    assert fit_temperature(logits, target) == pytest.approx(1.0, rel=1e-3)
    assert fit_temperature(10 * logits, target) == pytest.approx(10.0, rel=1e-3)


def test_the_temperature_stays_in_its_range() -> None:
    logits = np.array([[1.0, 0.0], [0.0, 1.0]])
    assert 0.01 <= fit_temperature(logits, np.array([0, 1])) < 0.05
    assert fit_temperature(logits, np.array([1, 0])) == pytest.approx(100.0, rel=1e-2)


def test_the_candidate_with_the_least_held_out_loss_is_refitted_on_all_rows() -> None:
    features = np.array([[1, 0], [0, 1], [1, 0], [0, 1], [1, 0]], np.float32)
    rows = Labelled(features, np.array([0, 1, 0, 1, 0]), np.array([0, 0, 1, 1, -1]), 2)
    fitted_on: list[int] = []

    def fit_all(part: Labelled, factors: tuple[float, ...]) -> dict[tuple[float], Head]:
        fitted_on.append(len(part.target))
        return {(factor,): Head((affine(np.eye(2) * factor),)) for factor in factors}

    fit = cross_validate(rows, fit_all, factor=(-1.0, 1.0))
    assert fitted_on == [3, 3, 5]
    assert fit.hyperparameters == {"factor": 1.0}
    assert fit.cv_top1 == 1.0
    assert fit.cv_log_loss < 0.01
    np.testing.assert_array_equal(fit.head(features), features)
