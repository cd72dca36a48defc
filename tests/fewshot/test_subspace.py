import numpy as np
import pytest

from sports_clip_pipeline.fewshot import subspace
from sports_clip_pipeline.fewshot.base import Labelled, method_class
from sports_clip_pipeline.fewshot.cross_validation import held_out_logits
from sports_clip_pipeline.fewshot.linear import logreg_path, solve_ridge
from sports_clip_pipeline.fewshot.subspace import (
    BLOCK,
    LinearProbes,
    PrincipalSpace,
    RowSpace,
    lower_gram,
    principal_axes,
)
from sports_clip_pipeline.predictor.head import Head, Operation, affine
from tests.fewshot.factories import labelled, task, unit

RNG = np.random.default_rng(0)
UNIT = (Operation("l2_normalise"),)


@pytest.mark.parametrize("count", [1, 5, BLOCK + 3])
def test_the_gram_matrix_is_that_of_centred_rows(count: int) -> None:
    rows = RNG.normal(1.0, 1.0, (count, 4)).astype(np.float32)
    centred = rows.astype(np.float64) - rows.mean(axis=0)
    found = np.tril(lower_gram(rows, rows.mean(axis=0)))
    np.testing.assert_allclose(found, np.tril(centred.T @ centred), rtol=1e-4, atol=1e-3)


def test_each_row_of_a_gram_matrix_may_have_the_mean_of_its_group() -> None:
    rows = np.array([[1, 0], [3, 0], [0, 5], [0, 7]], np.float32)
    means = np.array([[2, 0], [0, 6]], np.float32)
    found = lower_gram(rows, means, np.array([0, 0, 1, 1]))
    np.testing.assert_array_equal(np.tril(found), [[2, 0], [0, 2]])


def test_the_gram_matrix_in_an_order_is_the_same_to_the_bit_for_shuffled_rows() -> None:
    rows = RNG.normal(size=(2 * BLOCK, 3)).astype(np.float32)
    shuffled, mean = rows[RNG.permutation(len(rows))], rows.mean(axis=0)
    first, second = (lower_gram(x, mean, order=np.lexsort(x.T)) for x in (rows, shuffled))
    np.testing.assert_array_equal(first, second)


def test_principal_axes_are_orthonormal_with_the_energy_along_each() -> None:
    rows = RNG.normal(size=(60, 5)).astype(np.float32)
    axes, energy = principal_axes(rows)
    np.testing.assert_allclose(axes.T @ axes, np.eye(5), atol=1e-5)
    rotated = (rows - rows.mean(axis=0)) @ axes
    np.testing.assert_allclose((rotated**2).sum(axis=0), energy, rtol=1e-3)


def rows_of(count: int, width: int) -> Labelled:
    features = RNG.normal(size=(count, width)).astype(np.float32)
    return Labelled(features, np.arange(count) % 2, np.arange(count) % 3, 2)


@pytest.mark.parametrize(("count", "width", "expected"), [(5, 12, 5), (30, 12, 12)])
def test_rows_keep_their_inner_products_in_as_few_columns_as_there_are_rows(
    count: int, width: int, expected: int
) -> None:
    rows = rows_of(count, width)
    space, columns = RowSpace.of(rows, UNIT), Head(UNIT)(rows.features)
    assert space.rows.features.shape == (count, expected)
    inner = space.rows.features @ space.rows.features.T
    np.testing.assert_allclose(inner, columns @ columns.T, atol=1e-5)


@pytest.mark.parametrize("count", [6, 40])
def test_a_head_in_rotated_axes_is_the_same_on_pooled_features(count: int) -> None:
    rows = rows_of(count, 12)
    axes, _ = np.linalg.qr(RNG.normal(size=(min(count, 12),) * 2).astype(np.float32))
    space = RowSpace.of(rows, UNIT).rotated(axes)
    head = Head((affine(RNG.normal(size=(4, space.width)), np.arange(4)), Operation("relu")))
    expected = head(space.rows.features)
    np.testing.assert_allclose(space.expand(head)(rows.features), expected, atol=1e-5)


def test_outputs_beside_the_columns_become_a_branch() -> None:
    rows, text = rows_of(6, 12), Head((affine(RNG.normal(size=(2, 12))),))
    space = RowSpace.of(rows, UNIT).beside_outputs(text, rows.features)
    assert (space.rows.features.shape, space.width) == ((6, 6 + 2), 6)
    head = Head((affine(RNG.normal(size=(2, 8)), np.array([1.0, -1.0])),))
    expected = head(space.rows.features)
    np.testing.assert_allclose(space.expand(head)(rows.features), expected, atol=1e-5)


def test_directions_that_no_row_spans_get_no_weight() -> None:
    rows = rows_of(3, 12)
    head = RowSpace.of(rows, ()).expand(Head((affine(RNG.normal(size=(2, 3))),)))
    outside = np.linalg.svd(rows.features)[2][3:]
    np.testing.assert_allclose(head(outside), 0.0, atol=1e-5)


SHARING = (
    "ridge", "gda", "ridge_blend", "gda_blend", "logreg_blend", "lp_plus_plus", "stacked_ensemble",
)  # fmt: skip


def test_held_out_logits_are_those_of_fits_on_the_other_folds() -> None:
    rows = labelled(60, 3, shuffle=True)
    probes = LinearProbes.of(task(rows))
    found, without = probes.held_out(solve_ridge, (0.1, 1.0))
    expected = held_out_logits(probes.space.rows, lambda some: solve_ridge(some, (0.1, 1.0)))
    for setting, logits in expected.items():
        np.testing.assert_array_equal(found[setting], logits)
    for fold, heads in without.items():
        out = rows.fold == fold
        logits = heads[(1.0,)](probes.space.rows.features[out])
        np.testing.assert_array_equal(found[(1.0,)][out], logits)


def test_a_probe_is_the_same_on_pooled_features_and_in_the_axes() -> None:
    rows = labelled(60, 3)
    probes = LinearProbes.of(task(rows))
    inside = probes.fit(logreg_path, (30.0,))(probes.space.rows.features)
    outside = probes.refit(logreg_path, (30.0,))(rows.features)
    np.testing.assert_allclose(outside, inside, atol=1e-4)


@pytest.mark.parametrize("method", SHARING)
def test_a_method_finds_the_same_after_all_others_as_alone(method: str) -> None:
    shared, alone = labelled(60, 3, shuffle=True), labelled(60, 3, shuffle=True)
    for other in SHARING:
        if other != method:
            method_class(other)().fit(task(shared))
    after, before = (method_class(method)().fit(task(rows)) for rows in (shared, alone))
    features = labelled(30, 3, seed=4).features
    np.testing.assert_array_equal(after.head(features), before.head(features))
    assert after.hyperparameters == before.hyperparameters


def test_axes_are_computed_once_for_the_same_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    computed: list[int] = []

    def counted(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        computed.append(len(rows))
        return principal_axes(rows)

    monkeypatch.setattr(subspace, "principal_axes", counted)
    rows = labelled(60, 3)
    for method in SHARING:
        method_class(method)().fit(task(rows))
    assert computed == [60]
    method_class("ridge")().fit(task(rows.where(rows.fold != 0)))
    method_class("ridge")().fit(task(rows, "ridge_clip"))
    assert len(computed) == 3


SPREAD = np.array([5, 1, 3, 0.5, 2, 4], dtype=np.float32)
ROWS = RNG.normal(size=(70, 6)).astype(np.float32) * SPREAD


def test_principal_components_are_those_of_a_singular_value_decomposition() -> None:
    space = PrincipalSpace.of(ROWS, (), 4)
    _, values, axes = np.linalg.svd(ROWS - ROWS.mean(axis=0))
    np.testing.assert_allclose(np.abs(np.sum(space.axes.T * axes[:4], axis=1)), 1.0, atol=1e-4)
    np.testing.assert_allclose((space.rows(ROWS) ** 2).sum(axis=0), values[:4] ** 2, rtol=1e-3)


@pytest.mark.parametrize(("rows", "expected"), [(28, 4), (3, 1), (70, 6)])
def test_there_are_at_least_seven_rows_for_each_axis(rows: int, expected: int) -> None:
    assert PrincipalSpace.of(ROWS[:rows], (), 100).axes.shape == (6, expected)


def test_a_classifier_of_principal_components_is_the_same_on_pooled_features() -> None:
    space = PrincipalSpace.of(unit(ROWS), UNIT, 3)
    weight, bias = RNG.normal(size=(5, 3)).astype(np.float32), np.arange(5, dtype=np.float32)
    expected = space.rows(unit(ROWS)) @ weight.T + bias
    np.testing.assert_allclose(space.head(weight, bias)(ROWS), expected, atol=1e-5)


def test_rows_in_another_order_have_the_same_axes_to_the_bit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = PrincipalSpace.of(ROWS, (), 4)
    with monkeypatch.context() as patch:
        patch.setattr(subspace, "eigh", None)  # the axes of these rows are cached
        again = PrincipalSpace.of(ROWS[::-1], (), 4)
    np.testing.assert_array_equal(again.axes, first.axes)
    PrincipalSpace.of(ROWS[1:], (), 4)
    fresh = PrincipalSpace.of(ROWS[::-1], (), 4)
    np.testing.assert_array_equal(fresh.axes, first.axes)
    np.testing.assert_array_equal(fresh.mean, first.mean)
