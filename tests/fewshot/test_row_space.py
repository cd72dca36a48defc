from __future__ import annotations

import numpy as np
import pytest

from sports_clip_pipeline.fewshot.base import Labelled
from sports_clip_pipeline.fewshot.subspace import RowSpace
from sports_clip_pipeline.predictor.head import Head, Operation, affine

RNG = np.random.default_rng(0)
UNIT = (Operation("l2_normalise"),)


def rows(count: int, width: int) -> Labelled:
    features = RNG.normal(size=(count, width)).astype(np.float32)
    return Labelled(features, np.arange(count) % 2, np.arange(count) % 3, 2)


def text_head(width: int) -> Head:
    weight = RNG.normal(size=(2, width)).astype(np.float32)
    return Head((affine(weight, np.zeros(2)),))


@pytest.mark.parametrize(("count", "width", "kept"), [(5, 12, 5), (30, 12, 12)])
def test_inner_products_of_rows_survive_in_as_few_columns_as_there_are_rows(
    count: int, width: int, kept: int
) -> None:
    labelled = rows(count, width)
    space = RowSpace.of(labelled, UNIT)
    unit = Head(UNIT)(labelled.features)
    assert space.rows.features.shape == (count, kept)
    np.testing.assert_allclose(
        space.rows.features @ space.rows.features.T, unit @ unit.T, atol=1e-5
    )


@pytest.mark.parametrize("count", [5, 30])
def test_an_expanded_head_says_of_the_rows_what_it_said_in_their_columns(count: int) -> None:
    labelled = rows(count, 12)
    axes = np.linalg.qr(RNG.normal(size=(min(count, 12),) * 2))[0].astype(np.float32)
    space = RowSpace.of(labelled, UNIT).rotated(axes)
    weight = RNG.normal(size=(4, space.width))
    head = Head((affine(weight, np.arange(4)), Operation("relu")))
    np.testing.assert_allclose(
        space.expand(head)(labelled.features), head(space.rows.features), atol=1e-5
    )


def test_outputs_that_stand_beside_the_columns_become_a_branch() -> None:
    labelled, text = rows(6, 12), text_head(12)
    space = RowSpace.of(labelled, UNIT).beside_outputs(text, text(labelled.features))
    assert space.rows.features.shape == (6, 6 + 2)
    assert space.width == 6
    head = Head((affine(RNG.normal(size=(2, 8)), np.array([1.0, -1.0])),))
    np.testing.assert_allclose(
        space.expand(head)(labelled.features), head(space.rows.features), atol=1e-5
    )


def test_columns_that_no_row_fills_get_no_weight() -> None:
    labelled = rows(3, 12)
    space = RowSpace.of(labelled, ())
    head = space.expand(Head((affine(RNG.normal(size=(2, 3)), np.zeros(2)),)))
    outside = np.linalg.svd(labelled.features)[2][3:]  # the directions that the rows leave out
    np.testing.assert_allclose(head(outside), 0.0, atol=1e-5)
