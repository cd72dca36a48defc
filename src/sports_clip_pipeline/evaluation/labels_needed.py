"""How many labels each method needs to reach an accuracy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from sports_clip_pipeline.evaluation.answers import Point, points_of
from sports_clip_pipeline.evaluation.intervals import resampled_means
from sports_clip_pipeline.evaluation.power_law import can_fit, fit_power_law

# Beyond so many times the most labels measured a number would be a guess.
REACH = 100
LAST_POINTS = 5
_TOLERANCE = 1e-12
_COLUMNS = ("method", "target", "labels", "low", "high", "kind")


def labels_needed(
    curves: pd.DataFrame,
    trial_probabilities: Mapping[str, np.ndarray],
    target: np.ndarray,
    accuracies: Sequence[float],
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> pd.DataFrame:
    """The labels at which each method's curve reaches each accuracy.

    Between measured fractions the curve is a straight line over log(labels), made non-decreasing
    first (pooled adjacent violators). Beyond the last it goes on from there with the rate and the
    floor of a power law fitted to its last five points. The interval is that of the number of
    labels itself: every resample of photographs and seeds gives a curve, and every curve a
    number. It always contains the estimate.

    Args:
        curves: `method`, `fraction`, `labels`, `top1_mean`.
        trial_probabilities: (N, C) by `<method>/<fraction>/<seed>`. target: (N,) int.
        accuracies: shares in (0, 1].
        resamples, seed, level: of the percentile interval.
    Returns: `method`, `target`, `labels`, `low`, `high` (float whole numbers; inf: more than 100
        times the most labels measured, or never), `kind`: `measured below` (the fewest labels
        reach it already, so the number is an upper bound), `interpolated`, `extrapolated` or
        `out of reach`.
    Raises: ValueError: an accuracy outside (0, 1], or a point without arms.
    """
    for accuracy in accuracies:
        if not 0.0 < accuracy <= 1.0:
            raise ValueError(f"an accuracy to reach is in (0, 1], got {accuracy}")
    points = points_of(trial_probabilities, target)
    rows = []
    for method, curve in curves.sort_values("labels").groupby("method", sort=True):
        labels = curve["labels"].to_numpy(dtype=np.float64)  # (K,)
        measured = curve["top1_mean"].to_numpy(dtype=np.float64)[None, :]  # (1, K)
        own = [_point(points, str(method), fraction) for fraction in curve["fraction"]]
        drawn = [resampled_means(point.correct(target), seed, resamples) for point in own]
        resampled = np.stack(drawn, axis=1)  # (R, K)
        for accuracy in sorted(accuracies):
            needed = float(labels_at(labels, measured, accuracy)[0])
            low, high = _interval(labels_at(labels, resampled, accuracy), needed, level)
            kind = _kind(labels, measured, accuracy, needed)
            rows.append((method, accuracy, _up(needed), _up(low), _up(high), kind))
    return pd.DataFrame(rows, columns=list(_COLUMNS))


def labels_at(labels: np.ndarray, accuracy: np.ndarray, wanted: float) -> np.ndarray:
    """The labels at which curves reach an accuracy.

    Args:
        labels: (K,) ascending. accuracy: (R, K); one curve a row. wanted: in (0, 1].
    Returns: (R,) at least labels[0]; inf beyond `REACH` times labels[-1].
    """
    rising = non_decreasing(accuracy)
    reached = rising >= wanted - _TOLERANCE  # (R, K)
    first = reached.argmax(axis=1)
    before = np.maximum(first - 1, 0)
    rows, log_labels = np.arange(len(rising)), np.log(labels)
    y0, y1 = rising[rows, before], rising[rows, first]
    step = np.where(y1 > y0, (wanted - y0) / np.where(y1 > y0, y1 - y0, 1.0), 0.0)
    x0, x1 = log_labels[before], log_labels[first]
    inside = np.exp(x0 + np.clip(step, 0.0, 1.0) * (x1 - x0))
    return np.where(reached.any(axis=1), inside, _beyond(labels, accuracy, rising[:, -1], wanted))


def non_decreasing(values: np.ndarray) -> np.ndarray:
    """The nearest non-decreasing rows, in least squares.

    Args: values: (R, K) float.
    Returns: (R, K); entry k is max over i <= k of min over j >= k of the mean of i..j.
    Source: the min-max formula of isotonic regression, Robertson et al. 1988, theorem 1.4.4.
    """
    size = values.shape[1]
    sums = np.concatenate([np.zeros((len(values), 1)), values.cumsum(axis=1)], axis=1)
    result = np.full(values.shape, -np.inf)
    for i in range(size):
        lengths = np.arange(1, size - i + 1)
        means = (sums[:, i + 1 :] - sums[:, [i]]) / lengths  # of i..j, for j = i..K-1
        least = np.minimum.accumulate(means[:, ::-1], axis=1)[:, ::-1]
        result[:, i:] = np.maximum(result[:, i:], least)
    return result


def _beyond(
    labels: np.ndarray, accuracy: np.ndarray, last: np.ndarray, wanted: float
) -> np.ndarray:
    """Where a law that goes on from the curve's end (R,) gets to the accuracy."""
    if not can_fit(len(labels)):
        return np.full(len(accuracy), np.inf)
    law = fit_power_law(labels[-LAST_POINTS:], 1.0 - accuracy[:, -LAST_POINTS:])
    needed = law.through(labels[-1], 1.0 - last).labels_at(1.0 - wanted)
    return np.where(needed > REACH * labels[-1], np.inf, needed)


def _interval(needed: np.ndarray, estimate: float, level: float) -> tuple[float, float]:
    """Quantiles that are values themselves, as some values are infinite."""
    tail = (1.0 - level) / 2
    low = np.quantile(needed, tail, method="lower")
    high = np.quantile(needed, 1.0 - tail, method="higher")
    return min(float(low), estimate), max(float(high), estimate)


def _up(labels: float) -> float:
    """Up to a whole number, but for what rounding in the logarithm added."""
    return float(np.ceil(np.round(labels, 6)))


def _kind(labels: np.ndarray, measured: np.ndarray, accuracy: float, needed: float) -> str:
    rising = non_decreasing(measured)[0]
    if rising[0] >= accuracy - _TOLERANCE:
        return "measured below"
    if rising[-1] >= accuracy - _TOLERANCE:
        return "interpolated"
    return "extrapolated" if np.isfinite(needed) else "out of reach"


def _point(points: Mapping[tuple[str, float], Point], method: str, fraction: float) -> Point:
    for (name, share), point in points.items():
        if name == method and np.isclose(share, fraction, rtol=1e-5):
            return point
    raise ValueError(f"no arm of {method} at fraction {fraction:g}")
