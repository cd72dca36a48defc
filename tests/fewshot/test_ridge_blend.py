from __future__ import annotations

import numpy as np

from sports_clip_pipeline.fewshot import ridge_blend
from tests.fewshot.making import FAST, anchors, labelled


def test_its_two_branches_add_up_and_its_temperature_is_in_the_weights() -> None:
    rows = labelled(60, 3)
    found = ridge_blend.fit(rows, anchors(3), FAST, 0)
    probe, text = found.head.operations[0].branches
    both = probe(rows.features) + text(rows.features)
    np.testing.assert_allclose(found.head(rows.features), both, atol=1e-4)
    assert found.temperature == 1.0
    assert found.hyperparameters["alpha"] in FAST.ridge_alpha
