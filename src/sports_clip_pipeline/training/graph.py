"""A graph of nearest photographs, and labels that spread along it.

Source: Zhou et al. 2003, "Learning with Local and Global Consistency"; Iscen et al. 2019,
section 3.1, for the graph (cosines of nearest neighbours to the third power).
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array, diags_array

from sports_clip_pipeline.clip.projections import unit_norm

_BLOCK = 1024
_POWER = 3
_LEAST = 1e-12


def neighbour_graph(rows: np.ndarray, neighbours: int) -> csr_array:
    """Edges between rows and their nearest ones by cosine, normalised to D^-½ W D^-½.

    Args:
        rows: (N, d) float32, around their mean. neighbours: >= 1; at most N − 1 are taken.
    Returns: (N, N) float64, symmetric, zeros on its diagonal; negative cosines make no edge.
    """
    count = len(rows)
    k = min(neighbours, count - 1)
    unit = unit_norm(rows)
    near, value = np.zeros((count, k), dtype=np.int64), np.zeros((count, k))
    for start in range(0, count, _BLOCK):
        cosine = unit[start : start + _BLOCK] @ unit.T  # (B, N)
        at = np.arange(len(cosine))
        cosine[at, start + at] = -np.inf
        best = np.argpartition(-cosine, k - 1, axis=1)[:, :k]
        near[start + at] = best
        value[start + at] = np.take_along_axis(cosine, best, axis=1)
    edges = (np.maximum(value, 0.0) ** _POWER).ravel()
    index = np.repeat(np.arange(count), k), near.ravel()
    one_way = csr_array((edges, index), shape=(count, count))
    both = one_way + one_way.T
    scale = diags_array(1.0 / np.sqrt(np.maximum(both.sum(axis=1), _LEAST)))
    return csr_array(scale @ both @ scale)


def spread(
    graph: csr_array, start: np.ndarray, alpha: float, tolerance: float = 1e-4
) -> np.ndarray:
    """The fixed point of F = α S F + (1 − α) Y, which is (1 − α) (I − α S)⁻¹ Y.

    Args:
        graph: (N, N) normalised. start: (N, C) Y >= 0. alpha: in [0, 1).
        tolerance: of the largest change, relative to the largest start.
    Returns: (N, C) float64 >= 0.
    """
    enough = tolerance * max(float(np.abs(start).max()), _LEAST) * (1.0 - alpha)
    current = start.astype(np.float64)
    while True:
        following = alpha * (graph @ current) + (1.0 - alpha) * start
        change = float(np.abs(following - current).max())
        current = following
        if change <= enough:
            return current
