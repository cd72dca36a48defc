from __future__ import annotations

from dataclasses import replace

import numpy as np

from sports_clip_pipeline.fewshot.base import Task
from sports_clip_pipeline.fewshot.semi_supervised import Pool
from sports_clip_pipeline.predictor.head import Head
from tests.fewshot.factories import labelled, pretrained, unlabelled

ROWS = labelled(30, 3)
TEXT = replace(pretrained(3), space="all_encoders")


def test_labelled_images_come_first() -> None:
    others = unlabelled(40, 3)
    pool = Pool.of(Task(ROWS, TEXT, 0, others), 100)
    assert len(pool.rows) == 70
    scaled = Head(TEXT.scaled(root=True))
    np.testing.assert_allclose(pool.columns[:30], scaled(ROWS.features), atol=1e-6)
    np.testing.assert_allclose(pool.columns[30:], scaled(others), atol=1e-6)
    np.testing.assert_allclose(pool.text[30:], TEXT.zero_shot_head()(others), atol=1e-5)


def test_a_fold_hides_its_images_and_its_labels() -> None:
    pool = Pool.of(Task(ROWS, TEXT, 0, unlabelled(40, 3)), 100)
    assert pool.folds() == [0, 1, 2]
    out = np.flatnonzero(ROWS.fold == 1)
    np.testing.assert_array_equal(pool.held_out(1), out)
    assert (pool.known(1)[out] == -1).all()
    assert not pool.without(1)[out].any()
    assert pool.without(1).sum() == 70 - len(out)
    assert (pool.known(1) >= 0).sum() == 30 - len(out)
    assert pool.without(None).all()
    np.testing.assert_array_equal(pool.known(None), [*ROWS.target, *[-1] * 40])


def test_the_prior_is_the_labels_shares_drawn_to_even_ones() -> None:
    rows = ROWS.where(ROWS.target < 2)
    pool = Pool.of(Task(rows, TEXT, 0, None), 100)
    # 10, 10 and 0 labels, and 5 more of each.
    np.testing.assert_allclose(pool.prior(None), np.array([15, 15, 5]) / 35)


def test_no_images_without_labels_are_none_at_all() -> None:
    none = Pool.of(Task(ROWS, TEXT, 0, np.zeros((0, 12), dtype=np.float32)), 100)
    np.testing.assert_array_equal(none.rows, Pool.of(Task(ROWS, TEXT, 0, None), 100).rows)
