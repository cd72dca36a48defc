"""Pixels in the order of a map, and maps that know nothing, to measure others by."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional


def pixel_order(heat: np.ndarray, seed: int) -> np.ndarray:
    """All pixels from the most relevant to the least, ties in a seeded random order.

    Maps have large flat areas, where a percentile of the values removes all of the area or
    nothing of it; so places are ranked, and a share of them is exactly that share.

    Args:
        heat: (H, W) float.
        seed: of the ties; under one seed all maps break theirs alike.
    Returns: (H·W,) int64, flat places.
    """
    ties = np.random.default_rng([seed, 7]).permutation(heat.size)
    return np.lexsort((ties, -heat.ravel()))


def first_of(order: np.ndarray, share: float, shape: tuple[int, int]) -> np.ndarray:
    """(H, W) bool: the first `share` of the order, to the nearest pixel."""
    mask = np.zeros(order.size, dtype=bool)
    mask[order[: round(share * order.size)]] = True
    return mask.reshape(shape)


def centre_map(height: int, width: int) -> np.ndarray:
    """(H, W) float32 in (0, 1]: a round hill over the middle, a quarter of the side wide."""
    rows = (np.arange(height) - (height - 1) / 2) / height
    columns = (np.arange(width) - (width - 1) / 2) / width
    squares = rows[:, None] ** 2 + columns[None, :] ** 2
    return np.exp(-squares / (2 * 0.25**2)).astype(np.float32)


def random_map(height: int, width: int, grid: tuple[int, int], seed: int) -> np.ndarray:
    """(H, W) float32 in [0, 1]: noise on the grid of the layer, spread as maps are.

    On the grid of the layer, since single pixels at random would be another question: how much a
    tower minds grain.
    """
    noise = np.random.default_rng([seed, 11]).random(grid, dtype=np.float32)
    coarse = torch.from_numpy(noise)[None, None]
    spread = functional.interpolate(coarse, (height, width), mode="bilinear", align_corners=False)
    return np.asarray(spread[0, 0])


def rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Spearman's rank correlation of two maps, ties sharing their ranks; 0 where one is flat.

    Args: one, other: (H, W).
    Returns: in [-1, 1].
    """
    from scipy.stats import rankdata

    ranks = [rankdata(heat.ravel()) for heat in (one, other)]
    if any(np.ptp(values) == 0 for values in ranks):
        return 0.0
    return float(np.corrcoef(*ranks)[0, 1])
