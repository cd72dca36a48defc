"""Self-training as published: a probe takes its own answers for labels, round by round.

Logistic regression on rooted features learns from the labels; then, in each round, from the labels
and from its own classes of all photographs without labels, whose weight rises from round to round.
No text is used: what photographs without labels add to a plain probe.

Source: Lee 2013, "Pseudo-Label", equations 15-16 (the mean loss over pseudo-labels is added with a
weight that rises to 3).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np

from sports_clip_pipeline.config.finetune import FinetuneConfig
from sports_clip_pipeline.predictor.head import Head
from sports_clip_pipeline.training.methods.cross_validation import keep_best
from sports_clip_pipeline.training.methods.interface import Fit, Labelled, TextAnchors
from sports_clip_pipeline.training.methods.pool import Pool
from sports_clip_pipeline.training.methods.soft_regression import fit_shares
from sports_clip_pipeline.training.mixture import Discriminant


def fit(
    labelled: Labelled,
    anchors: TextAnchors,
    config: FinetuneConfig,
    seed: int,
    unlabelled: np.ndarray | None = None,
) -> Fit:
    """A probe on its own answers; k-fold chooses the number of rounds, none among them."""
    pool = Pool.of(labelled, anchors, unlabelled, config.em_width)
    held_out: dict[str, np.ndarray] = {}
    for fold in pool.folds():
        out = pool.held_out(fold)
        for done, probe in enumerate(rounds(pool, config, fold)):
            blank = np.full((len(labelled.target), labelled.classes), np.nan)
            held_out.setdefault(str(done), blank)[out] = probe(pool.rows[out])
    settings = {"c": config.pseudo_c, "last_weight": config.pseudo_weight}

    def refit(name: str) -> Head:
        probe = list(islice(rounds(pool, config, None), int(name) + 1))[-1]
        return pool.space.head(probe.weight, probe.bias)

    return keep_best(labelled, held_out, lambda name: {"rounds": int(name), **settings}, refit)


def rounds(pool: Pool, config: FinetuneConfig, fold: int | None) -> Iterator[Discriminant]:
    """The probe of the labels alone, then that of each round; a fold's photographs are left out."""
    seen = pool.seen(fold)
    rows, known = pool.rows[seen], pool.known(fold)[seen]
    free = known < 0
    target = np.where(free, 0, known)
    for done in range(config.pseudo_rounds + 1):
        # α (n / U) for each row: the sum of n labelled losses, and α times their number at the mean
        # of the others.
        alpha = config.pseudo_weight * done / max(config.pseudo_rounds, 1)
        weight = np.where(free, alpha * (~free).sum() / max(free.sum(), 1), 1.0)
        classes = np.eye(pool.labelled.classes)[target]
        used = weight > 0.0
        probe = Discriminant(
            *fit_shares(
                rows[used], classes[used], weight[used], config.pseudo_c, config.student_steps
            )
        )
        yield probe
        target[free] = probe(rows[free]).argmax(axis=1)
