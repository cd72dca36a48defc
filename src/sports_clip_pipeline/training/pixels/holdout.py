"""Which labelled photographs are held out, and in which order the others are seen."""

from __future__ import annotations

import numpy as np


def held_out_rows(target: np.ndarray, share: float, seed: int) -> np.ndarray:
    """A share of each class's labelled photographs, at least one where a class has two or more.

    Args:
        target: (n,) int classes of the labelled photographs.
    Returns: (n,) bool.
    """
    rng = np.random.default_rng([seed, 1])
    held_out = np.zeros(len(target), dtype=bool)
    for label in np.unique(target):
        rows = rng.permutation(np.flatnonzero(target == label))
        count = max(1, round(share * len(rows))) if len(rows) > 1 else 0
        held_out[rows[:count]] = True
    return held_out


def rows_of_step(step: int, size: int, count: int, seed: int) -> np.ndarray:
    """The rows of a step's batch: consecutive places in an endless row of shuffled passes.

    It depends on nothing but its arguments, so a run continued at a step sees what it would have.

    Args:
        step: from 0. size: of the batch. count: rows there are.
    Returns: (size,) int64 in [0, count).
    """
    places = np.arange(step * size, (step + 1) * size)
    rows = np.empty(size, dtype=np.int64)
    for turn in np.unique(places // count):
        order = np.random.default_rng([seed, 2, int(turn)]).permutation(count)
        here = places // count == turn
        rows[here] = order[places[here] % count]
    return rows


def steps_for(count: int, batch_size: int, epochs: int, least: int) -> int:
    """Steps of a run over `count` photographs: the epochs, but no fewer than `least`.

    >>> steps_for(640, 64, 8, 50)
    80
    """
    return max(least, round(epochs * count / batch_size))
