from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import log_softmax

from sports_clip_pipeline.fewshot.base import Task
from sports_clip_pipeline.fewshot.ensemble import LogregBlend
from sports_clip_pipeline.fewshot.semi_supervised import Pool, Teacher
from sports_clip_pipeline.predictor.head import softmax
from tests.fewshot.factories import labelled, pretrained, unlabelled

C = LogregBlend().c
ROWS = labelled(45, 3)
TEXT = replace(pretrained(3), space="all_encoders")
OTHERS = unlabelled(40, 3)


def test_the_teacher_is_the_supervised_blend() -> None:
    teacher = Teacher.of(Pool.of(Task(ROWS, TEXT, 0, OTHERS), 100), TEXT, C)
    blend = LogregBlend().fit(Task(ROWS, TEXT, 0))
    assert teacher.fit.hyperparameters == pytest.approx(blend.hyperparameters)
    spoken = log_softmax(blend.head(np.vstack([ROWS.features, OTHERS])), axis=1)
    np.testing.assert_allclose(teacher.log_probs[None], spoken, atol=1e-3)


def test_what_it_says_of_held_out_rows_is_what_the_folds_say() -> None:
    teacher = Teacher.of(Pool.of(Task(ROWS, TEXT, 0, OTHERS), 100), TEXT, C)
    assert teacher.fit.held_out is not None
    for fold in range(3):
        out = np.flatnonzero(ROWS.fold == fold)
        said = softmax(teacher.log_probs[fold][out])
        np.testing.assert_allclose(said, teacher.fit.held_out[out], atol=1e-3)


def test_a_folds_teacher_does_not_depend_on_its_labels() -> None:
    torn = ROWS.target.copy()
    out = np.flatnonzero(ROWS.fold == 1)[:4]
    torn[out] = (torn[out] + 1) % 3
    one, two = (
        Teacher.of(Pool.of(Task(rows, TEXT, 0, OTHERS), 100), TEXT, (30.0,))
        for rows in (ROWS, replace(ROWS, target=torn))
    )
    # The weights of probe and text are fitted on all folds, the probe itself is not.
    text = TEXT.zero_shot_head()(np.vstack([ROWS.features, OTHERS]))
    probes = [
        log_softmax(
            (teacher.log_probs[1] - teacher.fit.hyperparameters["zero_shot_weight"] * text)
            / teacher.fit.hyperparameters["probe_weight"],
            axis=1,
        )
        for teacher in (one, two)
    ]
    np.testing.assert_allclose(probes[0], probes[1], atol=1e-2)
