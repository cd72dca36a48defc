"""Labels spread along a graph of nearest photographs, and a student that carries them to others.

Every photograph starts with what the supervised blend says of it, labelled ones with their class;
the graph evens this out among neighbours, the classes are scaled to their shares among the labels,
and logistic regression on the result makes it a classifier of new photographs. It is weighed
against the blend on held-out labels.

Source: Zhou et al. 2003, "Learning with Local and Global Consistency"; Iscen et al. 2019 for the
graph and the student; Zhu et al. 2003, section 4 (an external classifier's answers at every node,
and classes scaled to known shares).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from sports_clip_pipeline.config.finetune import FinetuneConfig
from sports_clip_pipeline.fewshot.base import Fit, Labelled, TextAnchors
from sports_clip_pipeline.fewshot.graph import neighbour_graph, spread
from sports_clip_pipeline.fewshot.mixture import balanced
from sports_clip_pipeline.fewshot.pool import Pool
from sports_clip_pipeline.fewshot.self_training import student
from sports_clip_pipeline.fewshot.teacher import teach
from sports_clip_pipeline.fewshot.voices import Voice, join

_ROUNDS = 20
_LEAST = 1e-9


def fit(
    labelled: Labelled,
    anchors: TextAnchors,
    config: FinetuneConfig,
    seed: int,
    unlabelled: np.ndarray | None = None,
) -> Fit:
    """A student of spread labels; k-fold weighs it and the supervised blend.

    A fold's photographs stay in the graph, as photographs without labels.
    """
    pool = Pool.of(labelled, anchors, unlabelled, config.em_width)
    teacher = teach(pool, anchors, config)
    graph = neighbour_graph(pool.rows, config.spread_neighbours)

    def learn(fold: int | None) -> Mapping[str, Voice]:
        start, known = np.exp(teacher.spoken[fold]), pool.known(fold)
        start[known >= 0] = np.eye(labelled.classes)[known[known >= 0]]
        even = spread(graph, start, config.spread_alpha)
        shares, _ = balanced(np.log(even + _LEAST), pool.prior(fold), _ROUNDS)
        shares[known >= 0] = start[known >= 0]
        return {"student": student(pool, shares[pool.seen(fold)], config, fold)}

    return join(pool, teacher, learn)
