from __future__ import annotations

from dataclasses import replace

import numpy as np
from sports_clip_pipeline.fewshot.pool import Pool
from sports_clip_pipeline.fewshot.pseudo_labels import rounds
from sports_clip_pipeline.fewshot.soft_regression import fit_shares

from tests.fewshot.making import FAST, anchors, labelled, unlabelled

POOL = Pool.of(labelled(21, 3), replace(anchors(3), space="towers"), unlabelled(60, 3), 100)
CONFIG = replace(FAST, pseudo_rounds=2, pseudo_weight=3.0)


def test_the_first_probe_has_seen_the_labels_alone() -> None:
    first = next(rounds(POOL, CONFIG, None))
    target = np.eye(3)[POOL.labelled.target]
    weight, bias = fit_shares(POOL.rows[:21], target, np.ones(21), CONFIG.pseudo_c, 60)
    np.testing.assert_array_equal(first.weight, weight)
    np.testing.assert_array_equal(first.bias, bias)


def test_its_own_answers_weigh_as_published() -> None:
    first, _, last = rounds(POOL, CONFIG, None)
    second = list(rounds(POOL, CONFIG, None))[1]
    target = np.r_[POOL.labelled.target, second(POOL.rows[21:]).argmax(axis=1)]
    # Mean loss of 21 labels + 3 × mean loss of 60 answers, times 21.
    weight = np.r_[np.ones(21), np.full(60, 3.0 * 21 / 60)]
    expected, _ = fit_shares(POOL.rows, np.eye(3)[target], weight, CONFIG.pseudo_c, 60)
    np.testing.assert_allclose(last.weight, expected, atol=1e-5)
    assert not np.allclose(first.weight, last.weight)


def test_a_folds_photographs_are_not_seen() -> None:
    out = POOL.held_out(1)
    changed = POOL.rows.copy()
    changed[out] = 7.0
    one, two = (list(rounds(p, CONFIG, 1))[-1] for p in (POOL, replace(POOL, rows=changed)))
    np.testing.assert_array_equal(one.weight, two.weight)
