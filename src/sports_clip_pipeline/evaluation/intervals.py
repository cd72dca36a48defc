"""Intervals for accuracies measured on photographs, over several seeds."""

from __future__ import annotations

import numpy as np


def bootstrap_interval(
    correct: np.ndarray, seed: int, resamples: int = 2000, level: float = 0.95
) -> tuple[float, float]:
    """Percentile interval of mean accuracy over photographs and, where there are several, seeds.

    Each resample draws photographs with replacement (the same for all seeds, as the seeds were
    judged on the same ones) and seeds with replacement.

    Args:
        correct: (S, N) bool; seed s was right on photograph n.
        seed: of the resampling.
    Returns: (low, high), shares in [0, 1]. All right gives (1.0, 1.0).
    Raises: ValueError: `correct` is not (S, N) with S, N >= 1.
    Source: Efron and Tibshirani 1993, chapter 13.
    """
    if correct.ndim != 2 or 0 in correct.shape:
        raise ValueError(f"correct is (S, N) with both at least 1, got {correct.shape}")
    rng = np.random.default_rng(seed)
    seeds, photographs = correct.shape
    values = np.empty(resamples)
    hits = correct.astype(np.float64)
    for i in range(resamples):
        weight = np.bincount(rng.integers(photographs, size=photographs), minlength=photographs)
        chosen = rng.integers(seeds, size=seeds)
        values[i] = (hits[chosen] @ weight).mean() / photographs
    tail = (1.0 - level) / 2
    low, high = np.quantile(values, [tail, 1.0 - tail])
    return float(low), float(high)
