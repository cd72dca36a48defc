from __future__ import annotations

from dataclasses import replace

import numpy as np

from sports_clip_pipeline.fewshot.base import Task
from sports_clip_pipeline.fewshot.semi_supervised import Pool, PseudoLabels
from sports_clip_pipeline.fewshot.softmax_solver import SoftmaxProblem
from tests.fewshot.factories import labelled, pretrained, unlabelled

POOL = Pool.of(
    Task(labelled(21, 3), replace(pretrained(3), space="all_encoders"), 0, unlabelled(60, 3)), 100
)
METHOD = PseudoLabels(rounds=2, weight=3.0)


def test_the_first_probe_has_seen_the_labels_alone() -> None:
    first = next(METHOD.probes(POOL, None))
    problem = SoftmaxProblem(
        POOL.rows[:21], POOL.labelled.target, 3, np.ones(21, np.float32), max_iterations=60
    )
    alone = problem.solve(METHOD.c)
    np.testing.assert_array_equal(first.weight, alone.weight)
    np.testing.assert_array_equal(first.bias, alone.bias)


def test_its_own_answers_weigh_as_published() -> None:
    first, _, last = METHOD.probes(POOL, None)
    second = list(METHOD.probes(POOL, None))[1]
    target = np.r_[POOL.labelled.target, second(POOL.rows[21:]).argmax(axis=1)]
    # Mean loss of 21 labels + 3 × mean loss of 60 answers, times 21.
    weight = np.r_[np.ones(21), np.full(60, 3.0 * 21 / 60)]
    weighted = SoftmaxProblem(POOL.rows, target, 3, weight.astype(np.float32), max_iterations=60)
    np.testing.assert_allclose(last.weight, weighted.solve(METHOD.c).weight, atol=1e-5)
    assert not np.allclose(first.weight, last.weight)


def test_a_folds_images_are_not_seen() -> None:
    out = POOL.held_out(1)
    changed = POOL.rows.copy()
    changed[out] = 7.0
    one, two = (list(METHOD.probes(p, 1))[-1] for p in (POOL, replace(POOL, rows=changed)))
    np.testing.assert_array_equal(one.weight, two.weight)
