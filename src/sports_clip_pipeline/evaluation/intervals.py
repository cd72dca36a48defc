"""Intervals for accuracies measured on photographs, over several seeds."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

_BLOCK = 256  # resamples weighed at a time, so that memory stays small for many photographs


def bootstrap_interval(
    correct: np.ndarray, seed: int, resamples: int = 2000, level: float = 0.95
) -> tuple[float, float]:
    """Percentile interval of mean accuracy over photographs and, where there are several, seeds.

    Args:
        correct: (S, N) bool; seed s was right on photograph n.
        seed: of the resampling.
    Returns: (low, high), shares in [0, 1]. All right gives (1.0, 1.0).
    Raises: ValueError: `correct` is not (S, N) with S, N >= 1.
    Source: Efron and Tibshirani 1993, chapter 13.
    """
    values = resampled_means(correct, seed, resamples)
    tail = (1.0 - level) / 2
    low, high = np.quantile(values, [tail, 1.0 - tail])
    return float(low), float(high)


def resampled_means(correct: np.ndarray, seed: int, resamples: int = 2000) -> np.ndarray:
    """The mean of (S, N) values under each resample of photographs and seeds.

    Each resample draws photographs with replacement (the same for all seeds, as the seeds were
    judged on the same ones) and seeds with replacement. Under one `seed` the same photographs are
    drawn whatever is judged on them, and the same seeds wherever there are S of them: means of
    two methods can be subtracted resample by resample.

    Args:
        correct: (S, N) bool or float.
    Returns: (R,) float64.
    Raises: ValueError: `correct` is not (S, N) with S, N >= 1.
    """
    if correct.ndim != 2 or 0 in correct.shape:
        raise ValueError(f"correct is (S, N) with both at least 1, got {correct.shape}")
    seeds, photographs = correct.shape
    hits = correct.T.astype(np.float32)  # (N, S); counts of hits stay exact
    drawn = draw_counts(seed, photographs, resamples)  # (R, N)
    means = np.empty((resamples, seeds))
    for start in range(0, resamples, _BLOCK):
        block = slice(start, start + _BLOCK)
        means[block] = drawn[block].astype(np.float32) @ hits
    means /= photographs
    if seeds == 1:
        return means[:, 0]
    chosen = draw_counts(seed, seeds, resamples, "seeds")  # (R, S)
    return (means * chosen).sum(axis=1) / seeds


@lru_cache(maxsize=16)
def draw_counts(seed: int, items: int, resamples: int, what: str = "photographs") -> np.ndarray:
    """How often each resample draws each item, `items` draws with replacement.

    Args:
        what: `photographs` or `seeds`; the two are drawn independently of each other.
    Returns: (R, items) uint16, read-only; rows sum to `items`.
    """
    rng = np.random.default_rng([seed, ("photographs", "seeds").index(what)])
    counts = np.empty((resamples, items), dtype=np.uint16)
    for row in counts:
        row[:] = np.bincount(rng.integers(items, size=items), minlength=items)
    counts.flags.writeable = False
    return counts
