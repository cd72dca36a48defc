from __future__ import annotations

from dataclasses import replace

import numpy as np
from sports_clip_pipeline.fewshot.gda_em import mixture, voice
from sports_clip_pipeline.fewshot.mixture import fit_gaussians
from sports_clip_pipeline.fewshot.pool import Pool
from sports_clip_pipeline.fewshot.teacher import teach

from tests.fewshot.making import FAST, anchors, labelled, unlabelled

ROWS = labelled(45, 3)
TEXT = replace(anchors(3), space="towers")
POOL = Pool.of(ROWS, TEXT, unlabelled(60, 3), 100)
TEACHER = teach(POOL, TEXT, FAST)


def test_the_voice_says_what_the_mixture_says() -> None:
    found = mixture(POOL, TEACHER, FAST, None)
    spoken = TEACHER.spoken[None]
    expected = found.logits(POOL.rows, spoken)
    np.testing.assert_allclose(voice(found)(POOL.rows, spoken), expected, atol=1e-4)


def test_endless_weight_of_labels_is_the_gaussians_of_the_labels() -> None:
    found = mixture(POOL, TEACHER, replace(FAST, em_label_weight=1e6), None)
    truth = np.eye(3)[ROWS.target]
    supervised = fit_gaussians(POOL.rows[:45], truth, FAST.em_shrinkage)(POOL.rows)
    np.testing.assert_allclose(found.gaussians(POOL.rows), supervised, rtol=1e-2, atol=5e-2)


def test_a_folds_photographs_are_not_seen() -> None:
    changed = POOL.rows.copy()
    changed[POOL.held_out(2)] = 9.0
    one, two = (
        mixture(pool, TEACHER, FAST, 2).gaussians.weight
        for pool in (POOL, replace(POOL, rows=changed))
    )
    np.testing.assert_array_equal(one, two)
