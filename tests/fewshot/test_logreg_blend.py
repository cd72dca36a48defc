from __future__ import annotations

import numpy as np
from sklearn.linear_model import LogisticRegression

from sports_clip_pipeline.fewshot.base import Task
from sports_clip_pipeline.fewshot.ensemble import LogregBlend
from sports_clip_pipeline.predictor.head import Head
from tests.fewshot.factories import labelled, pretrained


def test_it_is_scikit_learns_probe_on_rooted_rows_plus_weighted_zero_shot() -> None:
    rows, texts = labelled(90, 3, shuffle=True), pretrained(3)
    found = LogregBlend(c=(3.0,)).fit(Task(rows, texts))
    columns = Head(texts.scaled(root=True))(rows.features)
    twin = LogisticRegression(C=3.0, tol=1e-8, max_iter=5000).fit(columns, rows.target)
    chosen = found.hyperparameters
    wanted = chosen["probe_weight"] * twin.decision_function(columns)
    wanted += chosen["zero_shot_weight"] * texts.zero_shot_head()(rows.features)
    apart = found.head(rows.features) - wanted
    np.testing.assert_allclose(apart, np.tile(apart[:, :1], 3), atol=5e-3)


def test_the_weaker_of_two_strengths_wins_where_labels_are_noise() -> None:
    task = Task(labelled(60, 3, shuffle=True), pretrained(3))
    chosen = LogregBlend(c=(0.01, 1000.0)).fit(task).hyperparameters
    assert chosen["c"] == 0.01 or chosen["probe_weight"] == 0.0
