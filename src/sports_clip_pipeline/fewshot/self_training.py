"""A student of the Gaussian mixture: logistic regression on the classes that EM found.

The mixture models where photographs lie, the student the boundaries between classes; the student
sees every photograph, those without labels under the class and with the confidence that EM gives
them. Teacher, mixture and student are weighed on held-out labels.

Source: Lee 2013 (pseudo-labels) and Xie et al. 2020, section 2 (a student of labelled and
pseudo-labelled photographs); Zanella et al. 2024 for the mixture.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from sports_clip_pipeline.config.finetune import FinetuneConfig
from sports_clip_pipeline.fewshot import gda_em
from sports_clip_pipeline.fewshot.base import Fit, Labelled, TextAnchors
from sports_clip_pipeline.fewshot.pool import Pool
from sports_clip_pipeline.fewshot.soft_regression import fit_shares
from sports_clip_pipeline.fewshot.teacher import teach
from sports_clip_pipeline.fewshot.voices import Voice, join

NAME = "student"


def fit(
    labelled: Labelled,
    anchors: TextAnchors,
    config: FinetuneConfig,
    seed: int,
    unlabelled: np.ndarray | None = None,
) -> Fit:
    """EM and a student of it; k-fold weighs both, and their teacher."""
    pool = Pool.of(labelled, anchors, unlabelled, config.em_width)
    teacher = teach(pool, anchors, config)

    def learn(fold: int | None) -> Mapping[str, Voice]:
        mixture = gda_em.mixture(pool, teacher, config, fold)
        pupil = student(pool, mixture.probabilities, config, fold)
        return {gda_em.NAME: gda_em.voice(mixture), NAME: pupil}

    return join(pool, teacher, learn)


def student(
    pool: Pool, probabilities: np.ndarray, config: FinetuneConfig, fold: int | None
) -> Voice:
    """Logistic regression on the likeliest classes.

    Args:
        probabilities: (N', C) of all photographs but the fold's, in order.
    Photographs without labels count by their highest probability to a power.
    """
    seen = pool.seen(fold)
    classes = np.eye(probabilities.shape[1])[probabilities.argmax(axis=1)]
    weight = probabilities.max(axis=1) ** config.student_confidence
    weight[pool.known(fold)[seen] >= 0] = config.student_label_weight
    found = fit_shares(pool.rows[seen], classes, weight, config.student_c, config.student_steps)
    return Voice(*found)
