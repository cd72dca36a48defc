"""Rows of norm 1, which is how every embedding is compared."""

from __future__ import annotations

import numpy as np

_LEAST_NORM = 1e-12


def unit_norm(values: np.ndarray) -> np.ndarray:
    """(…, P) float with each row divided by its Euclidean norm; rows of zeros stay zeros.

    >>> unit_norm(np.array([[3.0, 4.0], [0.0, 0.0]])).tolist()
    [[0.6, 0.8], [0.0, 0.0]]
    """
    norms = np.linalg.norm(values, axis=-1, keepdims=True)
    return values / np.maximum(norms, _LEAST_NORM)
