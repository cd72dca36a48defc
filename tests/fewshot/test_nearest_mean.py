from __future__ import annotations

import numpy as np

from sports_clip_pipeline.fewshot.base import Task
from sports_clip_pipeline.fewshot.linear import NearestMean, class_means
from tests.fewshot.factories import labelled, pretrained


def test_logits_are_cosines_to_the_means_of_unit_norm_rows() -> None:
    rows = labelled(30, 3)
    head = NearestMean().fit(Task(rows, pretrained(3), 0)).head
    root = np.sqrt(rows.features)
    root /= np.linalg.norm(root, axis=1, keepdims=True)
    wanted = np.empty((30, 3))
    for label in range(3):
        mean = root[rows.target == label].mean(axis=0)
        wanted[:, label] = root @ mean / np.linalg.norm(mean)
    np.testing.assert_allclose(head(rows.features), wanted, atol=1e-5)


def test_a_class_without_rows_has_a_mean_of_zeros() -> None:
    rows = labelled(9, 3)
    some = rows.where(rows.target != 1)
    assert not class_means(some)[1].any()
    np.testing.assert_allclose(
        class_means(some)[2], rows.features[rows.target == 2].mean(axis=0), rtol=1e-5
    )
