"""Learning curves: scores by label fraction, power-law fits, labels needed, inference cost."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from sports_clip_pipeline.evaluation.bootstrap import Bootstrap, best_by_cross_validation
from sports_clip_pipeline.evaluation.metrics import macro_f1
from sports_clip_pipeline.evaluation.predictions import group_trials
from sports_clip_pipeline.fewshot.base import METHODS
from sports_clip_pipeline.fewshot.trial import FittedTrial
from sports_clip_pipeline.pipelines.finetune.config import END_TO_END_ENSEMBLE
from sports_clip_pipeline.predictor.head import softmax

# Floors of a power law are searched among these shares of the least error measured.
_FLOORS = np.linspace(0.0, 0.98, 50)
_MIN_POINTS, _MIN_POINTS_FOR_FLOOR = 3, 4
_LAST_POINTS = 5  # of a curve, to which the law is fitted
_MAX_EXTRAPOLATION = 100  # times the most labels measured; beyond, a number would be a guess
_MIN_ERROR, _TOLERANCE = 1e-9, 1e-12
_TRIAL_COLUMNS = (
    "method", "fraction", "seed", "labels", "top1", "top1_low", "top1_high", "macro_f1", "cv_top1",
    "cv_log_loss", "temperature", "hyperparameters", "elapsed_s", "reused",
)  # fmt: skip
_CURVE_COLUMNS = (
    "method", "fraction", "labels", "seeds", "top1_mean", "top1_low", "top1_high", "macro_f1_mean",
)  # fmt: skip


@dataclass(frozen=True)
class ScoredTrial:
    """A trial with its scores on the test images.

    Attributes:
        row: of the trials table. fitted: the trial, without its arrays.
        correct: (N,) bool. probabilities: (N, C) float16, calibrated.
    """

    row: dict[str, Any]
    correct: np.ndarray
    probabilities: np.ndarray
    fitted: FittedTrial


def score_trial(
    fitted: FittedTrial, logits: np.ndarray, target: np.ndarray, bootstrap: Bootstrap
) -> ScoredTrial:
    """Score a trial by its logits (N, C) of the test images; `target` is (N,) int."""
    # What is stored is what every statistic reads: rounding may break a near-tie.
    probabilities = softmax(logits / fitted.fit.temperature).astype(np.float16)
    predicted = probabilities.argmax(axis=1)
    correct = predicted == target
    low, high = bootstrap.interval(correct[None, :])
    row = {
        "method": fitted.key.method,
        "fraction": fitted.key.label_fraction,
        "seed": fitted.key.seed,
        "labels": fitted.labels,
        "top1": float(correct.mean()),
        "top1_low": low,
        "top1_high": high,
        "macro_f1": macro_f1(predicted, target, logits.shape[1]),
        "cv_top1": fitted.fit.cv_top1,
        "cv_log_loss": fitted.fit.cv_log_loss,
        "temperature": fitted.fit.temperature,
        "hyperparameters": json.dumps(fitted.fit.hyperparameters, sort_keys=True),
        "elapsed_s": fitted.elapsed_s,
        "reused": fitted.reused,
    }
    return ScoredTrial(row, correct, probabilities, fitted.without_arrays())


def trials_table(scored: Iterable[ScoredTrial]) -> pd.DataFrame:
    """One row a trial, by method, fraction and seed; the same columns where there is no trial."""
    table = pd.DataFrame([trial.row for trial in scored], columns=list(_TRIAL_COLUMNS))
    return table.sort_values(["method", "fraction", "seed"], ignore_index=True)


def learning_curves(scored: Sequence[ScoredTrial], bootstrap: Bootstrap) -> pd.DataFrame:
    """One row a method × fraction: mean over seeds, with an interval over images and seeds.

    Returns: `method`, `fraction`, `labels`, `seeds` (list), `top1_mean`, `top1_low`, `top1_high`,
        `macro_f1_mean`.
    """
    groups: dict[tuple[str, float], list[ScoredTrial]] = {}
    for trial in sorted(scored, key=lambda trial: trial.row["seed"]):
        groups.setdefault((trial.row["method"], trial.row["fraction"]), []).append(trial)
    rows = []
    for (method, fraction), trials in sorted(groups.items()):
        correct = np.stack([trial.correct for trial in trials])  # (S, N)
        interval = bootstrap.interval(correct)
        labels, f1 = (
            float(np.mean([trial.row[name] for trial in trials])) for name in ("labels", "macro_f1")
        )
        seeds = [trial.row["seed"] for trial in trials]
        top1 = float(correct.mean())
        rows.append((method, fraction, round(labels), seeds, top1, *interval, f1))
    return pd.DataFrame(rows, columns=list(_CURVE_COLUMNS))


def trial_probabilities(scored: Iterable[ScoredTrial]) -> dict[str, np.ndarray]:
    """Calibrated probabilities (N, C) float16 on the test images, by `TrialKey.name`."""
    return {trial.fitted.key.name: trial.probabilities for trial in scored}


def best_trials(scored: Sequence[ScoredTrial]) -> dict[float, FittedTrial]:
    """At each fraction the first seed's trial of the method that cross-validation prefers.

    Neither test nor unlabelled images have a say; see `best_by_cross_validation`.
    """
    table = trials_table(scored)
    best = {}
    for fraction in sorted(set(table["fraction"])):
        method = best_by_cross_validation(table, fraction)
        trials = [t.fitted for t in scored if t.row["fraction"] == fraction]
        own = (trial for trial in trials if trial.key.method == method)
        best[fraction] = min(own, key=lambda trial: trial.key.seed)
    return best


def fit_power_law(labels: np.ndarray, errors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fit error(n) = scale · n^(−rate) + floor, by least squares in the logarithm of the error.

    The floor is chosen on a grid from 0 upward; with three points it is 0, as three parameters
    would fit any three points.

    Args:
        labels: (K,) > 0, ascending, K >= 3; the last points of a curve, as a law holds only
            beyond the region where a few labels and prior knowledge compete.
        errors: (R, K) shares in [0, 1]; one curve a row.
    Returns: rate (R,), > 0 where errors fall, and floor (R,) in [0, 1).
    Source: Hestness et al. 2017, section 2 and figure 6 (a power law between a small-data region
        and an irreducible error); Rosenfeld et al. 2020, section 4, for the same form.
    """
    errors = np.maximum(errors, _MIN_ERROR)
    shares = _FLOORS if errors.shape[1] >= _MIN_POINTS_FOR_FLOOR else _FLOORS[:1]
    floors = shares[None, :] * errors.min(axis=1, keepdims=True)  # (R, G)
    x = np.log(labels)
    centred = x - x.mean()
    y = np.log(errors[:, None, :] - floors[:, :, None])  # (R, G, K)
    slope = y @ centred / (centred @ centred)  # (R, G)
    start = y.mean(axis=2) - slope * x.mean()
    fitted = np.exp(start[:, :, None] + slope[:, :, None] * x) + floors[:, :, None]
    loss = ((np.log(fitted) - np.log(errors)[:, None, :]) ** 2).sum(axis=2)
    best = loss.argmin(axis=1)[:, None]  # the first, so the lowest floor among equals
    rate, floor = (np.take_along_axis(values, best, axis=1)[:, 0] for values in (-slope, floors))
    return rate, floor


def labels_needed(
    curves: pd.DataFrame,
    trial_probabilities: Mapping[str, np.ndarray],
    target: np.ndarray,
    accuracies: Sequence[float],
    bootstrap: Bootstrap,
) -> pd.DataFrame:
    """The number of labels at which each method's learning curve reaches each accuracy.

    Between measured fractions the curve is a straight line over log(labels), made non-decreasing
    first (pooled adjacent violators). Beyond the last it continues with the rate and the floor of
    a power law fitted to its last five points. The percentile interval is that of the number of
    labels itself: every resample of images and seeds gives a curve, and every curve a number. It
    always contains the estimate.

    Args:
        curves: `method`, `fraction`, `labels`, `top1_mean`.
        trial_probabilities: (N, C) by `<method>/<fraction>/<seed>`. target: (N,) int.
        accuracies: shares in (0, 1].
    Returns: `method`, `target`, `labels`, `low`, `high` (float whole numbers; inf: more than 100
        times the most labels measured, or never), `kind`: `measured below` (the fewest labels
        reach it already, so the number is an upper bound), `interpolated`, `extrapolated` or
        `out of reach`.
    Raises: ValueError: an accuracy outside (0, 1], or a point without trials.
    """
    for accuracy in accuracies:
        if not 0.0 < accuracy <= 1.0:
            raise ValueError(f"an accuracy to reach is in (0, 1], got {accuracy}")
    groups = group_trials(trial_probabilities, target)
    rows = []
    for method, curve in curves.sort_values("labels").groupby("method", sort=True):
        labels = curve["labels"].to_numpy(dtype=np.float64)  # (K,)
        measured = curve["top1_mean"].to_numpy(dtype=np.float64)[None, :]  # (1, K)
        keys = [(str(method), float(f"{fraction:g}")) for fraction in curve["fraction"]]
        for key in keys:
            if key not in groups:
                raise ValueError(f"no trial of {key[0]} at fraction {key[1]:g}")
        means = [bootstrap.means(groups[key].correct(target)) for key in keys]
        resampled = np.stack(means, axis=1)  # (R, K)
        for accuracy in sorted(accuracies):
            needed = float(labels_at(labels, measured, accuracy)[0])
            low, high = _interval(labels_at(labels, resampled, accuracy), needed)
            kind = _kind(measured, accuracy, needed)
            rows.append((method, accuracy, _ceil(needed), _ceil(low), _ceil(high), kind))
    return pd.DataFrame(rows, columns=["method", "target", "labels", "low", "high", "kind"])


def labels_at(labels: np.ndarray, accuracy: np.ndarray, target: float) -> np.ndarray:
    """The number of labels at which learning curves reach a target accuracy.

    Args:
        labels: (K,) ascending. accuracy: (R, K); one curve a row. target: in (0, 1].
    Returns: (R,) at least labels[0]; inf beyond 100 times labels[-1].
    """
    rising = non_decreasing(accuracy)
    reached = rising >= target - _TOLERANCE  # (R, K)
    first = reached.argmax(axis=1)
    before = np.maximum(first - 1, 0)
    rows, log_labels = np.arange(len(rising)), np.log(labels)
    y0, y1 = rising[rows, before], rising[rows, first]
    step = np.where(y1 > y0, (target - y0) / np.where(y1 > y0, y1 - y0, 1.0), 0.0)
    x0, x1 = log_labels[before], log_labels[first]
    inside = np.exp(x0 + np.clip(step, 0.0, 1.0) * (x1 - x0))
    beyond = _extrapolated(labels, accuracy, rising[:, -1], target)
    return np.where(reached.any(axis=1), inside, beyond)


def non_decreasing(values: np.ndarray) -> np.ndarray:
    """Isotonic regression of each row: the nearest non-decreasing one in least squares.

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


def _extrapolated(
    labels: np.ndarray, accuracy: np.ndarray, last: np.ndarray, target: float
) -> np.ndarray:
    """(R,) labels at which power laws that continue the curves from (R,) `last` reach a target."""
    if len(labels) < _MIN_POINTS:
        return np.full(len(accuracy), np.inf)
    rate, floor = fit_power_law(labels[-_LAST_POINTS:], 1.0 - accuracy[:, -_LAST_POINTS:])
    above = np.maximum(1.0 - last - floor, _MIN_ERROR)
    target_above = 1.0 - target - floor
    reached = (target_above > 0) & (rate > 0)
    log_growth = np.log(above / np.where(reached, target_above, 1.0)) / np.where(reached, rate, 1.0)
    reached &= log_growth <= np.log(_MAX_EXTRAPOLATION)
    return np.where(reached, labels[-1] * np.exp(np.where(reached, log_growth, 0.0)), np.inf)


def _interval(needed: np.ndarray, estimate: float) -> tuple[float, float]:
    """95 % percentile interval by order statistics, as some values are infinite."""
    low = np.quantile(needed, 0.025, method="lower")
    high = np.quantile(needed, 0.975, method="higher")
    return min(float(low), estimate), max(float(high), estimate)


def _ceil(labels: float) -> float:
    """Up to a whole number, but for what rounding in the logarithm added."""
    return float(np.ceil(np.round(labels, 6)))


def _kind(measured: np.ndarray, accuracy: float, needed: float) -> str:
    rising = non_decreasing(measured)[0]
    if rising[0] >= accuracy - _TOLERANCE:
        return "measured below"
    if rising[-1] >= accuracy - _TOLERANCE:
        return "interpolated"
    return "extrapolated" if np.isfinite(needed) else "out of reach"


def inference_cost_table(
    curves: pd.DataFrame,
    encoders: Sequence[Mapping[str, Any]],
    trained: Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """Inference cost of each method beside its accuracy; the head's own cost is negligible.

    Args:
        curves: of `learning_curves`; end-to-end ones too where `trained` is given.
        encoders: the first encoder and the additional ones: `name`, `parameters`, `ms_per_image`
            (over all views; None where it was not measured).
        trained: the same of the encoder that is trained end to end, at its size and views.
    Returns: one row a method: `method`, `encoders` (names), `parameters`, `ms_per_image`, and
        `top1_F` at each fraction F.
    """
    rows = []
    for method, points in curves.groupby("method", sort=True):
        used = _encoders_of(str(method), encoders, trained)
        times = [np.nan if e["ms_per_image"] is None else e["ms_per_image"] for e in used]
        rows.append(
            {
                "method": method,
                "encoders": " + ".join(encoder["name"] for encoder in used),
                "parameters": sum(encoder["parameters"] for encoder in used),
                "ms_per_image": float(np.sum(times)),
                **{f"top1_{p.fraction:g}": p.top1_mean for p in points.itertuples()},
            }
        )
    return pd.DataFrame(rows)


def _encoders_of(
    method: str, encoders: Sequence[Mapping[str, Any]], trained: Mapping[str, Any] | None
) -> list[Mapping[str, Any]]:
    """The encoders that a method's predictor runs."""
    if method in METHODS:
        return list(encoders if METHODS[method].space == "all_encoders" else encoders[:1])
    assert trained is not None, f"{method} is trained end to end"
    return [trained, *encoders] if method == END_TO_END_ENSEMBLE else [trained]
