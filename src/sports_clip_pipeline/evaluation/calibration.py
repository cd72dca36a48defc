"""Whether a classifier that says 80 % is right in 80 % of cases."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from sports_clip_pipeline.evaluation.test_predictions import points_of

EQUAL_WIDTH, EQUAL_MASS = "equal_width", "equal_mass"
_MEASURES = ("top1", "confidence", "ece_equal_width", "ece_equal_mass", "brier")


def reliability_bins(
    confidence: np.ndarray, correct: np.ndarray, bins: int = 15, kind: str = EQUAL_WIDTH
) -> pd.DataFrame:
    """Confidence beside accuracy, bin by bin.

    Args:
        confidence: (N,) float in [0, 1]; the probability of the class that was answered.
        correct: (N,) bool.
        bins: asked for; empty ones are left out.
        kind: `equal_width` cuts [0, 1] into intervals (low, high]; `equal_mass` deals the
            photographs, sorted by confidence, into bins of equal numbers (to within one).
    Returns: one row a bin, ascending: `bin` (0 first), `low`, `high` (bounds of the interval, or
        the least and greatest confidence of an equal-mass bin), `photographs`, `confidence` and
        `accuracy` (means).
    Raises: ValueError: the lengths differ, no photograph, or another kind.
    Source: Guo et al. 2017, section 2 (equal width); Nixon et al. 2019, section 3 (equal mass).
    """
    if confidence.shape != correct.shape or len(confidence) == 0:
        raise ValueError(f"{confidence.shape} confidences for {correct.shape} answers")
    confidence = confidence.astype(np.float64)
    if kind == EQUAL_WIDTH:
        place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    elif kind == EQUAL_MASS:
        place = np.empty(len(confidence), dtype=int)
        place[np.argsort(confidence, kind="stable")] = (
            np.arange(len(confidence)) * bins // len(confidence)
        )
    else:
        raise ValueError(f"bins are {EQUAL_WIDTH} or {EQUAL_MASS}, got {kind!r}")
    frame = pd.DataFrame({"bin": place, "confidence": confidence, "accuracy": correct})
    grouped = frame.groupby("bin")
    table = grouped[["confidence", "accuracy"]].mean()
    table.insert(0, "photographs", grouped.size())
    own = grouped["confidence"]
    wide = kind == EQUAL_WIDTH
    table.insert(0, "high", (table.index + 1) / bins if wide else own.max())
    table.insert(0, "low", table.index / bins if wide else own.min())
    return table.reset_index()


def expected_calibration_error(
    confidence: np.ndarray, correct: np.ndarray, bins: int = 15, kind: str = EQUAL_WIDTH
) -> float:
    """Mean over photographs of their bin's |accuracy − confidence|; in [0, 1].

    Args: as of `reliability_bins`. For confidences .8, .8, .6 of which the first and the last are
        right, in two bins of equal width, all fall in one: |2/3 − 2.2/3| = 1/15.
    Source: Guo et al. 2017, equation 3.
    """
    table = reliability_bins(confidence, correct, bins, kind)
    gaps = (table["accuracy"] - table["confidence"]).abs()
    return float((gaps * table["photographs"]).sum() / len(confidence))


def brier_score(probabilities: np.ndarray, target: np.ndarray) -> float:
    """Mean squared distance between probabilities and the truth; in [0, 2], 0 is best.

    Args: probabilities: (N, C) float. target: (N,) int in [0, C).
    Returns: mean over photographs of Σ_c (p_c − [c is true])². For p = (.7, .3), true first: 0.18.
    Source: Brier 1950.
    """
    wide = probabilities.astype(np.float64)
    own = wide[np.arange(len(target)), target]
    return float(((wide**2).sum(axis=1) - 2 * own + 1).mean())


def calibration_table(
    trial_probabilities: Mapping[str, np.ndarray], target: np.ndarray, bins: int = 15
) -> pd.DataFrame:
    """Calibration of every arm.

    Zero-shot is one more arm: put its probabilities under `zero_shot/0/0`.

    Args: trial_probabilities: (N, C) by `<method>/<fraction>/<seed>`. target: (N,) int.
    Returns: one row an arm, sorted: `method`, `fraction`, `seed`, `top1`, `confidence` (mean),
        `ece_equal_width`, `ece_equal_mass`, `brier`.
    """
    rows = []
    for point in points_of(trial_probabilities, target).values():
        for seed, probabilities in zip(point.seeds, point.probabilities, strict=True):
            correct = probabilities.argmax(axis=1) == target
            confidence = probabilities.max(axis=1).astype(np.float64)
            errors = [
                expected_calibration_error(confidence, correct, bins, kind)
                for kind in (EQUAL_WIDTH, EQUAL_MASS)
            ]
            brier = brier_score(probabilities, target)
            means = (float(correct.mean()), float(confidence.mean()))
            rows.append((point.method, point.fraction, seed, *means, *errors, brier))
    return pd.DataFrame(rows, columns=["method", "fraction", "seed", *_MEASURES])


def calibration_curves(table: pd.DataFrame) -> pd.DataFrame:
    """Means over seeds of `calibration_table`: one row a method × fraction, with `seeds` (list)."""
    grouped = table.groupby(["method", "fraction"], sort=True)
    means = grouped[list(_MEASURES)].mean()
    means.insert(0, "seeds", grouped["seed"].agg(list))
    return means.reset_index()


def reliability_table(
    trial_probabilities: Mapping[str, np.ndarray],
    target: np.ndarray,
    bins: int = 15,
    kind: str = EQUAL_MASS,
) -> pd.DataFrame:
    """Reliability bins of every curve point, its seeds' answers pooled.

    Args: as of `calibration_table` and `reliability_bins`.
    Returns: `method`, `fraction`, and the columns of `reliability_bins`; `photographs` counts
        answers, S for each photograph.
    """
    parts = []
    for point in points_of(trial_probabilities, target).values():
        confidence = np.concatenate([array.max(axis=1) for array in point.probabilities])
        part = reliability_bins(confidence, point.correct(target).ravel(), bins, kind)
        part.insert(0, "fraction", point.fraction)
        part.insert(0, "method", point.method)
        parts.append(part)
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
