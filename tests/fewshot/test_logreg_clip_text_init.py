from __future__ import annotations

import numpy as np

from sports_clip_pipeline.fewshot.base import Task
from sports_clip_pipeline.fewshot.linear import TextInitLogisticRegression
from tests.fewshot.factories import labelled, pretrained


def test_a_feather_of_labels_leaves_the_zero_shot_classifier() -> None:
    texts, rows = pretrained(3), labelled(30, 3)
    head = TextInitLogisticRegression(c=(1e-6,)).fit(Task(rows, texts)).head
    projected = rows.features @ texts.image_weight.T
    projected /= np.linalg.norm(projected, axis=1, keepdims=True)
    wanted = texts.logit_scale * projected @ texts.zero_shot_weights.T
    np.testing.assert_allclose(head(rows.features), wanted, atol=0.05)
