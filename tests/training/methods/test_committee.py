from __future__ import annotations

import numpy as np

from sports_clip_pipeline.predictor.head import Head
from sports_clip_pipeline.training.methods import committee, gda, ridge
from sports_clip_pipeline.training.methods.interface import Labelled
from tests.training.making import FAST, anchors, labelled


def test_its_logits_are_the_weighted_sum_of_its_members() -> None:
    rows, texts = labelled(60, 3, shuffle=True), anchors(3)
    found = committee.fit(rows, texts, FAST, 0)
    chosen = found.hyperparameters
    columns = Head(texts.scaled(root=True))(rows.features)
    whole = Labelled(columns, rows.target, rows.fold, 3)
    alpha, shrinkage = chosen["ridge_alpha"], chosen["gda_shrinkage"]
    wanted = chosen["ridge_weight"] * ridge.solve(whole, (alpha,))[str(alpha)](columns)
    member = gda.solve(whole, (shrinkage,))[str(shrinkage)](columns)
    wanted = wanted + chosen["gda_weight"] * member
    wanted = wanted + chosen["zero_shot_weight"] * texts.zero_shot_head()(rows.features)
    logreg = found.head.operations[0].branches[0]
    np.testing.assert_allclose(
        found.head(rows.features), wanted + logreg(rows.features), rtol=1e-3, atol=1e-3
    )


def test_it_foretells_held_out_rows_no_worse_than_each_member_beside_zero_shot() -> None:
    from sports_clip_pipeline.training.methods import gda_blend, logreg_blend, ridge_blend

    rows, texts = labelled(60, 3), anchors(3, seed=4)
    rows = Labelled(rows.features**4, rows.target, rows.fold, 3)
    whole = committee.fit(rows, texts, FAST, 0).cv_log_loss
    for member in (gda_blend, logreg_blend, ridge_blend):
        assert whole <= member.fit(rows, texts, FAST, 0).cv_log_loss + 1e-4
