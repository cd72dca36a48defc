from __future__ import annotations

import numpy as np
import pytest

from sports_clip_pipeline.fewshot import gda, gda_blend, ridge, ridge_blend
from tests.fewshot.making import FAST, anchors, labelled


@pytest.mark.parametrize(("blended", "plain"), [(gda_blend, gda), (ridge_blend, ridge)])
def test_the_first_branch_is_the_probe_and_the_second_zero_shot(blended, plain) -> None:
    rows, texts = labelled(60, 3), anchors(3)
    found, alone = blended.fit(rows, texts, FAST, 0), plain.fit(rows, texts, FAST, 0)
    probe, text = found.head.operations[0].branches
    weight = found.hyperparameters["zero_shot_weight"]
    zero_shot = texts.zero_shot_head()(rows.features)
    np.testing.assert_allclose(text(rows.features), weight * zero_shot, atol=1e-4)
    (setting,) = alone.hyperparameters
    if alone.hyperparameters[setting] == found.hyperparameters[setting]:
        wanted = found.hyperparameters["probe_weight"] * alone.head(rows.features)
        np.testing.assert_allclose(probe(rows.features), wanted, rtol=1e-3, atol=1e-3)


def test_beside_zero_shot_no_held_out_loss_is_worse_than_alone() -> None:
    """No weight on zero-shot is among what the weights may be."""
    rows, texts = labelled(60, 3, shuffle=True), anchors(3)
    alone = gda.fit(rows, texts, FAST, 0)
    assert gda_blend.fit(rows, texts, FAST, 0).cv_log_loss <= alone.cv_log_loss + 1e-4
