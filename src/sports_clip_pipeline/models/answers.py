"""From probabilities to answers: the most probable class, or none of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

NONE_OF_THESE = "none of these"


def answers_of(
    probabilities: np.ndarray, classes: Sequence[str], threshold: float | None
) -> list[str]:
    """The most probable class of each row, `none of these` where its probability is too low.

    Args:
        probabilities: (N, C) in [0, 1]. classes: C labels.
        threshold: the least probability of a class that is answered; None answers all.
    Returns: N answers. For [[.6, .4], [.5, .5]] of a and b at .55: a, none of these.
    """
    best = probabilities.argmax(axis=1)
    sure = np.ones(len(best), bool) if threshold is None else probabilities.max(axis=1) >= threshold
    return [
        classes[column] if kept else NONE_OF_THESE for column, kept in zip(best, sure, strict=True)
    ]
