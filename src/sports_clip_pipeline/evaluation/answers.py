"""What every arm answered on the evaluation photographs, by method and fraction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Point:
    """The answers of one method at one fraction.

    Attributes:
        method: its name.
        fraction: of the development labels.
        seeds: (S,) of its arms, ascending.
        probabilities: S arrays (N, C) of calibrated probabilities, in the order of `seeds`.
    """

    method: str
    fraction: float
    seeds: tuple[int, ...]
    probabilities: tuple[np.ndarray, ...]

    def predicted(self) -> np.ndarray:
        """(S, N) int; the most probable class, the first of those that tie."""
        return np.stack([array.argmax(axis=1) for array in self.probabilities])

    def correct(self, target: np.ndarray) -> np.ndarray:
        """(S, N) bool; which arm was right on which photograph. `target` is (N,) int."""
        return self.predicted() == target[None, :]

    def of_seeds(self, seeds: tuple[int, ...]) -> Point:
        """The same point with some of its seeds."""
        arrays = tuple(self.probabilities[self.seeds.index(seed)] for seed in seeds)
        return Point(self.method, self.fraction, seeds, arrays)


def arm_key(method: str, fraction: float, seed: int) -> str:
    """The name of an arm's probabilities: `<method>/<fraction>/<seed>`."""
    return f"{method}/{fraction:g}/{seed}"


def points_of(
    trial_probabilities: Mapping[str, np.ndarray], target: np.ndarray
) -> dict[tuple[str, float], Point]:
    """Group arms that differ in their seed alone.

    Args:
        trial_probabilities: (N, C) float by `<method>/<fraction>/<seed>`.
        target: (N,) int, the true classes.
    Returns: points by (method, fraction), sorted.
    Raises: ValueError: a name of another form, or an array without a row for each target.
    """
    groups: dict[tuple[str, float], dict[int, np.ndarray]] = {}
    for key, array in trial_probabilities.items():
        try:
            method, fraction, seed = key.rsplit("/", 2)
            place, number = (method, float(fraction)), int(seed)
        except ValueError as error:
            raise ValueError(f"an arm is method/fraction/seed, got {key!r}") from error
        if len(array) != len(target):
            raise ValueError(f"{key}: {len(array)} rows of probabilities, {len(target)} targets")
        groups.setdefault(place, {})[number] = array
    return {
        place: Point(*place, tuple(sorted(arms)), tuple(arms[seed] for seed in sorted(arms)))
        for place, arms in sorted(groups.items())
    }
