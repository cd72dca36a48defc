"""Gaussians of the classes, fitted by EM to labelled and unlabelled photographs together.

The supervised blend says what it can of the unlabelled photographs; EM of one Gaussian a class (one
covariance for all) starts from that and is pulled to it, the labelled photographs stay in their
classes. What comes out is weighed against the blend on held-out labels. Class prior: the shares
among the labels, drawn a little to even ones.

Source: Zanella et al. 2024 (TransCLIP), sections 3.1-3.3, and its few-shot form, appendix; Wang et
al. 2024 for the shared covariance; Grandvalet and Bengio 2004, section 3.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from sports_clip_pipeline.config.finetune import FinetuneConfig
from sports_clip_pipeline.fewshot.base import Fit, Labelled, TextAnchors
from sports_clip_pipeline.fewshot.mixture import Mixture, MixtureSettings, fit_mixture
from sports_clip_pipeline.fewshot.pool import Pool
from sports_clip_pipeline.fewshot.teacher import Teacher, teach
from sports_clip_pipeline.fewshot.voices import Voice, join

NAME = "gaussians"


def fit(
    labelled: Labelled,
    anchors: TextAnchors,
    config: FinetuneConfig,
    seed: int,
    unlabelled: np.ndarray | None = None,
) -> Fit:
    """EM from the supervised blend; k-fold weighs both."""
    pool = Pool.of(labelled, anchors, unlabelled, config.em_width)
    teacher = teach(pool, anchors, config)

    def learn(fold: int | None) -> Mapping[str, Voice]:
        return {NAME: voice(mixture(pool, teacher, config, fold))}

    return join(pool, teacher, learn)


def mixture(pool: Pool, teacher: Teacher, config: FinetuneConfig, fold: int | None) -> Mixture:
    """The mixture of everything but the fold's photographs."""
    settings = MixtureSettings(
        iterations=config.em_iterations,
        sharpness=config.em_sharpness,
        shrinkage=config.em_shrinkage,
        confidence=config.em_confidence,
        label_weight=config.em_label_weight,
    )
    seen = pool.seen(fold)
    return fit_mixture(
        pool.rows[seen],
        teacher.spoken[fold][seen],
        pool.prior(fold),
        settings,
        pool.known(fold)[seen],
    )


def voice(found: Mixture) -> Voice:
    """The mixture's logits, the teacher's pull among them."""
    sharpness, gaussians = found.settings.sharpness, found.gaussians
    bias = sharpness * gaussians.bias + found.bias
    return Voice(sharpness * gaussians.weight, bias, found.settings.pull)
