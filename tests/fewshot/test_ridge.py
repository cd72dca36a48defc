from __future__ import annotations

import numpy as np
import pytest

from sports_clip_pipeline.fewshot.base import Labelled, Task
from sports_clip_pipeline.fewshot.linear import Ridge, solve_ridge
from sports_clip_pipeline.predictor.head import Head
from tests.fewshot.factories import labelled, pretrained

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("count", [8, 40])
def test_it_is_least_squares_with_the_penalty_as_further_rows(count: int) -> None:
    """√α I under the rows, zeros under the targets; the bias column goes unpenalised."""
    features = RNG.normal(size=(count, 12)).astype(np.float32)
    target = np.arange(count) % 3
    heads = solve_ridge(Labelled(features, target, target, 3), (0.1, 2.0))
    for alpha in (0.1, 2.0):
        design = np.vstack(
            [
                np.hstack([features, np.ones((count, 1))]),
                np.hstack([np.sqrt(alpha) * np.eye(12), np.zeros((12, 1))]),
            ]
        )
        wanted = np.vstack([np.eye(3)[target], np.zeros((12, 3))])
        twin = np.linalg.lstsq(design, wanted)[0]
        predicted = features @ twin[:12] + twin[12]
        np.testing.assert_allclose(heads[str(alpha)](features), predicted, atol=1e-4)


def test_few_rows_in_their_own_span_give_what_all_columns_would() -> None:
    rows = labelled(9, 3)
    fit = Ridge().fit(Task(rows, pretrained(3), 0))
    whole = Head(pretrained(3).scaled(root=True))(rows.features)
    alpha = fit.hyperparameters["alpha"]
    wide = solve_ridge(Labelled(whole, rows.target, rows.fold, 3), (alpha,))[str(alpha)]
    unseen = labelled(20, 3, seed=5).features
    scaled = Head(pretrained(3).scaled(root=True))(unseen)
    np.testing.assert_allclose(fit.head(unseen), wide(scaled), atol=1e-4)


def test_an_infinite_penalty_leaves_the_shares_of_the_classes() -> None:
    rows = Labelled(
        RNG.normal(size=(10, 4)).astype(np.float32), np.array([0] * 7 + [1] * 3), np.zeros(10), 2
    )
    np.testing.assert_allclose(
        solve_ridge(rows, (1e9,))["1000000000.0"](rows.features),
        np.tile([0.7, 0.3], (10, 1)),
        atol=1e-4,
    )
