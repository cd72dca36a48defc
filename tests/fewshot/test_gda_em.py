from __future__ import annotations

from dataclasses import replace

import numpy as np

from sports_clip_pipeline.fewshot.base import Task
from sports_clip_pipeline.fewshot.discriminant import fit_gaussians
from sports_clip_pipeline.fewshot.ensemble import LogregBlend
from sports_clip_pipeline.fewshot.semi_supervised import GdaEm, Pool, Teacher, gaussian_component
from tests.fewshot.factories import labelled, pretrained, unlabelled

C = LogregBlend().c
ROWS = labelled(45, 3)
TEXT = replace(pretrained(3), space="all_encoders")
POOL = Pool.of(Task(ROWS, TEXT, 0, unlabelled(60, 3)), 100)
TEACHER = Teacher.of(POOL, TEXT, C)


def test_the_voice_says_what_the_mixture_says() -> None:
    found = GdaEm().mixture(POOL, TEACHER, None)
    spoken = TEACHER.log_probs[None]
    expected = found.logits(POOL.rows, spoken)
    np.testing.assert_allclose(gaussian_component(found)(POOL.rows, spoken), expected, atol=1e-4)


def test_endless_weight_of_labels_is_the_gaussians_of_the_labels() -> None:
    found = GdaEm(label_weight=1e6).mixture(POOL, TEACHER, None)
    truth = np.eye(3)[ROWS.target]
    supervised = fit_gaussians(POOL.rows[:45], truth, GdaEm().shrinkage)(POOL.rows)
    np.testing.assert_allclose(found.gaussians(POOL.rows), supervised, rtol=1e-2, atol=5e-2)


def test_a_folds_images_are_not_seen() -> None:
    changed = POOL.rows.copy()
    changed[POOL.held_out(2)] = 9.0
    one, two = (
        GdaEm().mixture(pool, TEACHER, 2).gaussians.weight
        for pool in (POOL, replace(POOL, rows=changed))
    )
    np.testing.assert_array_equal(one, two)
