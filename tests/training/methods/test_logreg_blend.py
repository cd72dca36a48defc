from __future__ import annotations

from dataclasses import replace

import numpy as np
from sklearn.linear_model import LogisticRegression

from sports_clip_pipeline.predictor.head import Head
from sports_clip_pipeline.training.methods import logreg_blend
from tests.training.making import FAST, anchors, labelled


def test_it_is_scikit_learns_probe_on_rooted_rows_plus_weighted_zero_shot(monkeypatch) -> None:
    monkeypatch.setattr(logreg_blend, "TOLERANCE", 1e-9)
    rows, texts = labelled(90, 3, shuffle=True), anchors(3)
    found = logreg_blend.fit(rows, texts, replace(FAST, blend_c=(3.0,)), 0)
    columns = Head(texts.scaled(root=True))(rows.features)
    twin = LogisticRegression(C=3.0, tol=1e-8, max_iter=5000).fit(columns, rows.target)
    chosen = found.hyperparameters
    wanted = chosen["probe_weight"] * twin.decision_function(columns)
    wanted += chosen["zero_shot_weight"] * texts.zero_shot_head()(rows.features)
    apart = found.head(rows.features) - wanted
    np.testing.assert_allclose(apart, np.tile(apart[:, :1], 3), atol=5e-3)


def test_the_weaker_of_two_strengths_wins_where_labels_are_noise() -> None:
    config = replace(FAST, blend_c=(0.01, 1000.0))
    chosen = logreg_blend.fit(labelled(60, 3, shuffle=True), anchors(3), config, 0).hyperparameters
    assert chosen["c"] == 0.01 or chosen["probe_weight"] == 0.0
