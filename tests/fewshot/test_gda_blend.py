from __future__ import annotations

import numpy as np
import pytest

from sports_clip_pipeline.fewshot.base import Task
from sports_clip_pipeline.fewshot.discriminant import Gda
from sports_clip_pipeline.fewshot.ensemble import GdaBlend, RidgeBlend
from sports_clip_pipeline.fewshot.linear import Ridge
from tests.fewshot.factories import labelled, pretrained


@pytest.mark.parametrize(("blended", "plain"), [(GdaBlend, Gda), (RidgeBlend, Ridge)])
def test_the_first_branch_is_the_probe_and_the_second_zero_shot(blended, plain) -> None:
    rows, texts = labelled(60, 3), pretrained(3)
    found, alone = blended().fit(Task(rows, texts)), plain().fit(Task(rows, texts))
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
    rows, texts = labelled(60, 3, shuffle=True), pretrained(3)
    alone = Gda().fit(Task(rows, texts, 0))
    assert GdaBlend().fit(Task(rows, texts, 0)).cv_log_loss <= alone.cv_log_loss + 1e-4
