from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import log_softmax

from sports_clip_pipeline.predictor.head import softmax
from sports_clip_pipeline.training.methods import logreg_blend
from sports_clip_pipeline.training.methods.pool import Pool
from sports_clip_pipeline.training.methods.teacher import teach
from tests.training.making import FAST, anchors, labelled, unlabelled

ROWS = labelled(45, 3)
TEXT = replace(anchors(3), space="towers")
OTHERS = unlabelled(40, 3)


def test_the_teacher_is_the_supervised_blend() -> None:
    teacher = teach(Pool.of(ROWS, TEXT, OTHERS, 100), TEXT, FAST)
    blend = logreg_blend.fit(ROWS, TEXT, FAST, 0)
    assert teacher.fit.hyperparameters == pytest.approx(blend.hyperparameters)
    spoken = log_softmax(blend.head(np.vstack([ROWS.features, OTHERS])), axis=1)
    np.testing.assert_allclose(teacher.spoken[None], spoken, atol=1e-3)


def test_what_it_says_of_held_out_rows_is_what_the_folds_say() -> None:
    teacher = teach(Pool.of(ROWS, TEXT, OTHERS, 100), TEXT, FAST)
    assert teacher.fit.held_out is not None
    for fold in range(3):
        out = np.flatnonzero(ROWS.fold == fold)
        said = softmax(teacher.spoken[fold][out])
        np.testing.assert_allclose(said, teacher.fit.held_out[out], atol=1e-3)


def test_a_folds_teacher_does_not_depend_on_its_labels() -> None:
    torn = ROWS.target.copy()
    out = np.flatnonzero(ROWS.fold == 1)[:4]
    torn[out] = (torn[out] + 1) % 3
    one, two = (
        teach(Pool.of(rows, TEXT, OTHERS, 100), TEXT, replace(FAST, blend_c=(30.0,)))
        for rows in (ROWS, replace(ROWS, target=torn))
    )
    # The weights of probe and text are fitted on all folds, the probe itself is not.
    text = TEXT.zero_shot_head()(np.vstack([ROWS.features, OTHERS]))
    probes = [
        log_softmax(
            (teacher.spoken[1] - teacher.fit.hyperparameters["zero_shot_weight"] * text)
            / teacher.fit.hyperparameters["probe_weight"],
            axis=1,
        )
        for teacher in (one, two)
    ]
    np.testing.assert_allclose(probes[0], probes[1], atol=1e-2)
