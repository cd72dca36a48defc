"""Calibration: reliability bins, expected calibration error (ECE) and Brier score."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from sports_clip_pipeline.evaluation.predictions import group_trials

EQUAL_WIDTH, EQUAL_MASS = "equal_width", "equal_mass"
_MEASURES = ("top1", "confidence", "ece_equal_width", "ece_equal_mass", "brier")


def reliability_bins(
    confidence: np.ndarray, correct: np.ndarray, bins: int, kind: str
) -> pd.DataFrame:
    """Mean confidence and accuracy of each bin of a reliability diagram.

    Args:
        confidence: (N,) float in [0, 1]; the probability of the predicted class.
        correct: (N,) bool.
        bins: number of bins; empty ones are left out.
        kind: `equal_width` cuts [0, 1] into intervals (low, high]; `equal_mass` distributes the
            images, sorted by confidence, over bins of equal numbers (to within one).
    Returns: one row a bin, ascending: `bin` (0 first), `low`, `high` (bounds of the interval, or
        the least and greatest confidence of an equal-mass bin), `images`, `confidence` and
        `accuracy` (means).
    Raises: ValueError: the lengths differ, no image, or another kind.
    Source: Guo et al. 2017, section 2 (equal width); Nixon et al. 2019, section 3 (equal mass).
    """
    if confidence.shape != correct.shape or len(confidence) == 0:
        raise ValueError(f"{confidence.shape} confidences for {correct.shape} predictions")
    confidence = confidence.astype(np.float64)
    if kind == EQUAL_WIDTH:
        index = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    elif kind == EQUAL_MASS:
        ranks = np.argsort(np.argsort(confidence, kind="stable"))
        index = ranks * bins // len(confidence)
    else:
        raise ValueError(f"bins are {EQUAL_WIDTH} or {EQUAL_MASS}, got {kind!r}")
    frame = pd.DataFrame({"bin": index, "confidence": confidence, "accuracy": correct})
    table = frame.groupby("bin").agg(
        low=("confidence", "min"),
        high=("confidence", "max"),
        images=("confidence", "size"),
        confidence=("confidence", "mean"),
        accuracy=("accuracy", "mean"),
    )
    if kind == EQUAL_WIDTH:
        table["low"], table["high"] = table.index / bins, (table.index + 1) / bins
    return table.reset_index()


def expected_calibration_error(
    confidence: np.ndarray, correct: np.ndarray, bins: int, kind: str
) -> float:
    """Mean over images of their bin's |accuracy − confidence|; in [0, 1].

    Args: as of `reliability_bins`. For confidences .8, .8, .6 of which the first and the last are
        right, in two bins of equal width, all fall in one: |2/3 − 2.2/3| = 1/15.
    Source: Guo et al. 2017, equation 3.
    """
    table = reliability_bins(confidence, correct, bins, kind)
    gaps = (table["accuracy"] - table["confidence"]).abs()
    return float((gaps * table["images"]).sum() / len(confidence))


def brier_score(probabilities: np.ndarray, target: np.ndarray) -> float:
    """Mean squared distance between probabilities and the truth; in [0, 2], 0 is best.

    Args: probabilities: (N, C) float. target: (N,) int in [0, C).
    Returns: mean over images of Σ_c (p_c − [c is true])². For p = (.7, .3), true first: 0.18.
    Source: Brier 1950.
    """
    wide = probabilities.astype(np.float64)
    own = wide[np.arange(len(target)), target]
    return float(((wide**2).sum(axis=1) - 2 * own + 1).mean())


def calibration_table(
    trial_probabilities: Mapping[str, np.ndarray], target: np.ndarray, bins: int
) -> pd.DataFrame:
    """ECE and Brier score by method and fraction, means over seeds.

    Zero-shot is one more trial: put its probabilities under `zero_shot/0/0`.

    Args: trial_probabilities: (N, C) by `<method>/<fraction>/<seed>`. target: (N,) int.
    Returns: one row a method × fraction, sorted: `method`, `fraction`, `seeds` (list), `top1`,
        `confidence` (mean), `ece_equal_width`, `ece_equal_mass`, `brier`.
    """
    rows = []
    for group in group_trials(trial_probabilities, target).values():
        means = np.mean([_measures(array, target, bins) for array in group.probabilities], axis=0)
        rows.append((group.method, group.fraction, list(group.seeds), *means.tolist()))
    return pd.DataFrame(rows, columns=["method", "fraction", "seeds", *_MEASURES])


def _measures(probabilities: np.ndarray, target: np.ndarray, bins: int) -> list[float]:
    correct = probabilities.argmax(axis=1) == target
    confidence = probabilities.max(axis=1).astype(np.float64)
    errors = [
        expected_calibration_error(confidence, correct, bins, kind)
        for kind in (EQUAL_WIDTH, EQUAL_MASS)
    ]
    return [correct.mean(), confidence.mean(), *errors, brier_score(probabilities, target)]


def reliability_table(
    trial_probabilities: Mapping[str, np.ndarray], target: np.ndarray, bins: int
) -> pd.DataFrame:
    """Equal-mass reliability bins by method and fraction, the predictions of its seeds pooled.

    Args: as of `calibration_table`.
    Returns: `method`, `fraction`, and the columns of `reliability_bins`; `images` counts
        predictions, S for each image.
    """
    parts = []
    for group in group_trials(trial_probabilities, target).values():
        confidence = np.concatenate([array.max(axis=1) for array in group.probabilities])
        part = reliability_bins(confidence, group.correct(target).ravel(), bins, EQUAL_MASS)
        parts.append(part.assign(method=group.method, fraction=group.fraction))
    table = pd.concat(parts, ignore_index=True)
    return table[["method", "fraction", *table.columns.drop(["method", "fraction"])]]
