from __future__ import annotations

import numpy as np

from sports_clip_pipeline.fewshot.base import Labelled, Task
from sports_clip_pipeline.fewshot.discriminant import solve_gda
from sports_clip_pipeline.fewshot.ensemble import GdaBlend, LogregBlend, RidgeBlend, StackedEnsemble
from sports_clip_pipeline.fewshot.linear import solve_ridge
from sports_clip_pipeline.predictor.head import Head
from tests.fewshot.factories import labelled, pretrained


def test_its_logits_are_the_weighted_sum_of_its_members() -> None:
    rows, texts = labelled(60, 3, shuffle=True), pretrained(3)
    found = StackedEnsemble().fit(Task(rows, texts, 0))
    chosen = found.hyperparameters
    columns = Head(texts.scaled(root=True))(rows.features)
    whole = Labelled(columns, rows.target, rows.fold, 3)
    alpha, shrinkage = chosen["ridge_alpha"], chosen["gda_shrinkage"]
    wanted = chosen["ridge_weight"] * solve_ridge(whole, (alpha,))[str(alpha)](columns)
    member = solve_gda(whole, (shrinkage,))[str(shrinkage)](columns)
    wanted = wanted + chosen["gda_weight"] * member
    wanted = wanted + chosen["zero_shot_weight"] * texts.zero_shot_head()(rows.features)
    logreg = found.head.operations[0].branches[0]
    np.testing.assert_allclose(
        found.head(rows.features), wanted + logreg(rows.features), rtol=1e-3, atol=1e-3
    )


def test_it_foretells_held_out_rows_no_worse_than_each_member_beside_zero_shot() -> None:
    rows, texts = labelled(60, 3), pretrained(3, seed=4)
    rows = Labelled(rows.features**4, rows.target, rows.fold, 3)
    whole = StackedEnsemble().fit(Task(rows, texts, 0)).cv_log_loss
    for member in (GdaBlend, LogregBlend, RidgeBlend):
        assert whole <= member().fit(Task(rows, texts)).cv_log_loss + 1e-4
