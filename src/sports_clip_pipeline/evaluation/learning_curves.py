"""Learning curves: scores by label fraction, power-law fits, labels needed for an accuracy."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from sports_clip_pipeline.evaluation.bootstrap import bootstrap_interval, resampled_means
from sports_clip_pipeline.evaluation.metrics import macro_f1
from sports_clip_pipeline.evaluation.test_predictions import Point, points_of
from sports_clip_pipeline.fewshot.trial import FittedTrial
from sports_clip_pipeline.predictor.head import softmax


@dataclass(frozen=True)
class ScoredTrial:
    """An arm judged on the evaluation photographs.

    Attributes:
        row: one row of the table of arms.
        correct: (N,) bool; whether it was right on each photograph.
        probabilities: (N, C) float16, calibrated.
        fitted: the arm, without its arrays.
    """

    row: dict[str, Any]
    correct: np.ndarray
    probabilities: np.ndarray
    fitted: FittedTrial


def score_trial(
    fitted: FittedTrial, features: np.ndarray, target: np.ndarray, classes: int, resamples: int
) -> ScoredTrial:
    """Judge an arm on the evaluation photographs.

    Args:
        features: (N, D) of the evaluation photographs. target: (N,) int in [0, classes).
    """
    logits = fitted.fit.head(features)
    predicted = logits.argmax(axis=1)
    correct = predicted == target
    low, high = bootstrap_interval(correct[None, :], seed=fitted.key.seed, resamples=resamples)
    row = {
        "method": fitted.key.method,
        "fraction": fitted.key.label_fraction,
        "seed": fitted.key.seed,
        "labels": fitted.labels,
        "top1": float(correct.mean()),
        "top1_low": low,
        "top1_high": high,
        "macro_f1": macro_f1(predicted, target, classes),
        "cv_top1": fitted.fit.cv_top1,
        "cv_log_loss": fitted.fit.cv_log_loss,
        "temperature": fitted.fit.temperature,
        "hyperparameters": json.dumps(fitted.fit.hyperparameters, sort_keys=True),
        "elapsed_s": fitted.elapsed_s,
        "reused": fitted.reused,
    }
    probabilities = softmax(logits / fitted.fit.temperature).astype(np.float16)
    return ScoredTrial(row, correct, probabilities, fitted.without_arrays())


def trials_table(scored: Iterable[ScoredTrial]) -> pd.DataFrame:
    """One row an arm, by method, fraction and seed."""
    table = pd.DataFrame([arm.row for arm in scored])
    return table.sort_values(["method", "fraction", "seed"], ignore_index=True)


def learning_curves(scored: Sequence[ScoredTrial], resamples: int, seed: int = 0) -> pd.DataFrame:
    """One row a method × fraction: mean over seeds, with an interval over photographs and seeds.

    Returns: `method`, `fraction`, `labels`, `seeds` (list), `top1_mean`, `top1_low`, `top1_high`,
        `macro_f1_mean`.
    """
    groups: dict[tuple[str, float], list[ScoredTrial]] = {}
    for arm in sorted(scored, key=lambda arm: arm.row["seed"]):
        groups.setdefault((arm.row["method"], arm.row["fraction"]), []).append(arm)
    rows = []
    for (method, fraction), arms in sorted(groups.items()):
        correct = np.stack([arm.correct for arm in arms])  # (S, N)
        low, high = bootstrap_interval(correct, seed, resamples)
        rows.append(
            {
                "method": method,
                "fraction": fraction,
                "labels": round(float(np.mean([arm.row["labels"] for arm in arms]))),
                "seeds": [arm.row["seed"] for arm in arms],
                "top1_mean": float(correct.mean()),
                "top1_low": low,
                "top1_high": high,
                "macro_f1_mean": float(np.mean([arm.row["macro_f1"] for arm in arms])),
            }
        )
    return pd.DataFrame(rows)


def trial_probabilities(scored: Iterable[ScoredTrial]) -> dict[str, np.ndarray]:
    """Calibrated probabilities (N, C) float16 on the evaluation photographs, by the arm's name."""
    return {arm.fitted.key.name: arm.probabilities for arm in scored}


def choose_each(scored: Sequence[ScoredTrial]) -> dict[float, FittedTrial]:
    """At each fraction the method that is best on its own held-out folds, its first seed's arm.

    Neither evaluation nor test photographs have a say. Means over the seeds are compared; ties go
    to the lower log-loss.
    """
    groups: dict[tuple[float, str], list[ScoredTrial]] = {}
    for arm in scored:
        groups.setdefault((arm.row["fraction"], arm.row["method"]), []).append(arm)
    best: dict[float, tuple[tuple[float, float], list[ScoredTrial]]] = {}
    for (fraction, _), arms in sorted(groups.items()):
        top1 = float(np.mean([arm.row["cv_top1"] for arm in arms]))
        merit = (top1, -float(np.mean([arm.row["cv_log_loss"] for arm in arms])))
        if fraction not in best or merit > best[fraction][0]:
            best[fraction] = (merit, arms)
    return {
        fraction: min(arms, key=lambda arm: arm.row["seed"]).fitted
        for fraction, (_, arms) in best.items()
    }


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
