from __future__ import annotations

import numpy as np
import pytest

from sports_clip_pipeline.fewshot.semi_supervised import neighbour_graph, propagate

RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(30, 5)).astype(np.float32)


def naive(rows: np.ndarray, neighbours: int) -> np.ndarray:
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    weight = np.zeros((len(rows), len(rows)))
    for i in range(len(rows)):
        cosine = unit @ unit[i]
        others = sorted((j for j in range(len(rows)) if j != i), key=lambda j: -cosine[j])
        for j in others[:neighbours]:
            weight[i, j] = max(cosine[j], 0.0) ** 3
    weight += weight.T
    degree = np.sqrt(weight.sum(axis=1))
    return weight / np.outer(degree, degree)


def test_the_graph_is_that_of_a_naive_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sports_clip_pipeline.fewshot.semi_supervised.BLOCK", 8)
    graph = neighbour_graph(ROWS, 4).toarray()
    np.testing.assert_allclose(graph, naive(ROWS, 4), atol=1e-6)
    np.testing.assert_array_equal(np.diag(graph), 0.0)


def test_more_neighbours_than_rows_are_all_of_them() -> None:
    np.testing.assert_allclose(
        neighbour_graph(ROWS, 100).toarray(), neighbour_graph(ROWS, 29).toarray()
    )


@pytest.mark.parametrize("alpha", [0.0, 0.5, 0.95])
def test_spreading_is_the_closed_form(alpha: float) -> None:
    graph = neighbour_graph(ROWS, 4)
    start = np.zeros((30, 2))
    start[0, 0] = start[1, 1] = 1.0
    closed = (1 - alpha) * np.linalg.solve(np.eye(30) - alpha * graph.toarray(), start)
    np.testing.assert_allclose(propagate(graph, start, alpha, 1e-8), closed, atol=1e-7)


def test_labels_stay_in_their_part_of_the_graph() -> None:
    left, right = np.zeros((8, 4)), np.zeros((8, 4))
    left[:, 0], right[:, 2] = 1.0, 1.0
    rows = np.vstack([left, right]) + RNG.normal(0, 0.05, (16, 4))
    start = np.zeros((16, 2))
    start[0, 0] = start[15, 1] = 1.0
    even = propagate(neighbour_graph(rows.astype(np.float32), 3), start, 0.9)
    np.testing.assert_array_equal(even[:8, 1], 0.0)
    np.testing.assert_array_equal(even[8:, 0], 0.0)
    assert (even[:8, 0] > 0.0).all()
