"""How errors fall with labels: a power law with a floor, fitted to the end of a learning curve."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# The floor is sought among these shares of the least error measured.
_FLOORS = np.linspace(0.0, 0.98, 50)
_LEAST_POINTS, _POINTS_FOR_A_FLOOR = 3, 4
_TINY = 1e-9


@dataclass(frozen=True)
class PowerLaw:
    """error(n) = scale · n^(−rate) + floor, one law a row.

    Attributes:
        log_scale: (R,). rate: (R,), > 0 where errors fall. floor: (R,) in [0, 1).
    """

    log_scale: np.ndarray
    rate: np.ndarray
    floor: np.ndarray

    def error(self, labels: np.ndarray) -> np.ndarray:
        """(R, K) errors at (K,) numbers of labels."""
        log_labels = np.log(labels)[None, :]
        falling = np.exp(self.log_scale[:, None] - self.rate[:, None] * log_labels)
        result: np.ndarray = falling + self.floor[:, None]
        return result

    def through(self, labels: float, error: np.ndarray) -> PowerLaw:
        """The law with the same rate and floor that passes through (R,) errors at `labels`."""
        above = np.maximum(error - self.floor, _TINY)
        log_scale = np.log(above) + self.rate * np.log(labels)
        return PowerLaw(log_scale, self.rate, self.floor)

    def labels_at(self, error: float) -> np.ndarray:
        """(R,) labels at which the law falls to an error; inf where it never does.

        For 2 n^(−1/2) and error 0.1 this is 400.
        """
        above = error - self.floor
        reached = (above > 0) & (self.rate > 0)
        rate = np.where(reached, self.rate, 1.0)
        log_labels = (self.log_scale - np.log(np.where(reached, above, 1.0))) / rate
        return np.where(reached, np.exp(np.minimum(log_labels, 700.0)), np.inf)


def can_fit(points: int) -> bool:
    """Whether so many points say anything about a law."""
    return points >= _LEAST_POINTS


def fit_power_law(labels: np.ndarray, errors: np.ndarray) -> PowerLaw:
    """Least squares in the logarithm of the error; the floor is tried on a grid from 0 upward.

    With three points there is no floor: three numbers would follow three points anywhere.

    Args:
        labels: (K,) > 0, ascending, K >= 3; the last points of a curve, as a law holds only
            beyond the region where a few labels and prior knowledge compete.
        errors: (R, K) shares in [0, 1]; one curve a row.
    Raises: ValueError: fewer than three points.
    Source: Hestness et al. 2017, section 2 and figure 6 (a power law between a small-data region
        and an irreducible error); Rosenfeld et al. 2020, section 4, for the same form.
    """
    points = errors.shape[1]
    if not can_fit(points):
        raise ValueError(f"a power law wants {_LEAST_POINTS} points or more, got {points}")
    errors = np.maximum(errors, _TINY)
    shares = _FLOORS if points >= _POINTS_FOR_A_FLOOR else _FLOORS[:1]
    floors = shares[None, :] * errors.min(axis=1, keepdims=True)  # (R, G)
    x = np.log(labels)
    centred = x - x.mean()
    y = np.log(errors[:, None, :] - floors[:, :, None])  # (R, G, K)
    slope = y @ centred / (centred @ centred)  # (R, G)
    start = y.mean(axis=2) - slope * x.mean()
    fitted = np.exp(start[:, :, None] + slope[:, :, None] * x) + floors[:, :, None]
    loss = ((np.log(fitted) - np.log(errors)[:, None, :]) ** 2).sum(axis=2)
    best = loss.argmin(axis=1)[:, None]  # the first, so the lowest floor among equals
    log_scale, rate, floor = (
        np.take_along_axis(values, best, axis=1)[:, 0] for values in (start, -slope, floors)
    )
    return PowerLaw(log_scale, rate, floor)
