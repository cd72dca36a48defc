from __future__ import annotations

import numpy as np

from sports_clip_pipeline.clip.projections import unit_norm


def test_rows_are_divided_by_their_norm_and_rows_of_zeros_stay() -> None:
    values = np.array([[3.0, 4.0], [0.0, 0.0], [0.0, -2.0]])
    np.testing.assert_allclose(unit_norm(values), [[0.6, 0.8], [0.0, 0.0], [0.0, -1.0]])


def test_one_vector_and_a_batch_of_matrices_keep_their_shape_and_type() -> None:
    assert unit_norm(np.array([3.0, 4.0], np.float32)).tolist() == np.float32([0.6, 0.8]).tolist()
    values = np.ones((2, 3, 4), np.float32)
    assert unit_norm(values).dtype == np.float32
    np.testing.assert_array_equal(unit_norm(values), np.full((2, 3, 4), 0.5))
