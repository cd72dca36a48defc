"""Bootstrap intervals and paired tests between methods."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from sports_clip_pipeline.evaluation.test_predictions import Point, points_of

_BLOCK = 256  # resamples weighed at a time, so that memory stays small for many photographs


def bootstrap_interval(
    correct: np.ndarray, seed: int, resamples: int = 2000, level: float = 0.95
) -> tuple[float, float]:
    """Percentile interval of mean accuracy over photographs and, where there are several, seeds.

    Args:
        correct: (S, N) bool; seed s was right on photograph n.
        seed: of the resampling.
    Returns: (low, high), shares in [0, 1]. All right gives (1.0, 1.0).
    Raises: ValueError: `correct` is not (S, N) with S, N >= 1.
    Source: Efron and Tibshirani 1993, chapter 13.
    """
    values = resampled_means(correct, seed, resamples)
    tail = (1.0 - level) / 2
    low, high = np.quantile(values, [tail, 1.0 - tail])
    return float(low), float(high)


def resampled_means(correct: np.ndarray, seed: int, resamples: int = 2000) -> np.ndarray:
    """The mean of (S, N) values under each resample of photographs and seeds.

    Each resample draws photographs with replacement (the same for all seeds, as the seeds were
    judged on the same ones) and seeds with replacement. Under one `seed` the same photographs are
    drawn whatever is judged on them, and the same seeds wherever there are S of them: means of
    two methods can be subtracted resample by resample.

    Args:
        correct: (S, N) bool or float.
    Returns: (R,) float64.
    Raises: ValueError: `correct` is not (S, N) with S, N >= 1.
    """
    if correct.ndim != 2 or 0 in correct.shape:
        raise ValueError(f"correct is (S, N) with both at least 1, got {correct.shape}")
    seeds, photographs = correct.shape
    hits = correct.T.astype(np.float32)  # (N, S); counts of hits stay exact
    drawn = draw_counts(seed, photographs, resamples)  # (R, N)
    means = np.empty((resamples, seeds))
    for start in range(0, resamples, _BLOCK):
        block = slice(start, start + _BLOCK)
        means[block] = drawn[block].astype(np.float32) @ hits
    means /= photographs
    if seeds == 1:
        return means[:, 0]
    chosen = draw_counts(seed, seeds, resamples, "seeds")  # (R, S)
    return (means * chosen).sum(axis=1) / seeds


@lru_cache(maxsize=16)
def draw_counts(seed: int, items: int, resamples: int, what: str = "photographs") -> np.ndarray:
    """How often each resample draws each item, `items` draws with replacement.

    Args:
        what: `photographs` or `seeds`; the two are drawn independently of each other.
    Returns: (R, items) uint16, read-only; rows sum to `items`.
    """
    rng = np.random.default_rng([seed, ("photographs", "seeds").index(what)])
    counts = np.empty((resamples, items), dtype=np.uint16)
    for row in counts:
        row[:] = np.bincount(rng.integers(items, size=items), minlength=items)
    counts.flags.writeable = False
    return counts


ZERO_SHOT = "zero_shot"
_COLUMNS = (
    "fraction", "method", "against", "role", "seeds", "top1", "against_top1", "difference", "low",
    "high", "p_value", "p_holm", "test", "distinguishable",
)  # fmt: skip
_BLOCK_paired = 500
# Sums are multiples of 1/S; single precision is off by less than this.
_TOLERANCE = 1e-3


@dataclass(frozen=True)
class _Pair:
    """A method and its opponent; difference (S, N) of being right, in {−1, 0, 1}."""

    point: Point
    against: str
    role: str
    top1: tuple[float, float]
    difference: np.ndarray


def paired_comparisons(
    arms: pd.DataFrame,
    trial_probabilities: Mapping[str, np.ndarray],
    target: np.ndarray,
    zero_shot_probabilities: np.ndarray,
    resamples: int = 1000,
    permutations: int = 19_999,
    seed: int = 0,
    alpha: float = 0.05,
) -> pd.DataFrame:
    """At each fraction, every method against the best and against zero-shot.

    The best is the one with the highest mean accuracy on its own held-out folds; the evaluation
    photographs have no say. The interval resamples photographs and seeds. The p-value asks whether
    the two are equally good on such photographs, given these seeds: McNemar's exact test where
    there is one seed, else a sign-flip permutation of each photograph's mean difference.

    Args:
        arms: `method`, `fraction`, `seed`, `cv_top1` (and `cv_log_loss`, for ties).
        trial_probabilities: (N, C) by `<method>/<fraction>/<seed>`. target: (N,) int.
        zero_shot_probabilities: (N, C).
        resamples, permutations, seed: of interval and test; p >= 1 / (permutations + 1), which
            leaves room for the correction of up to 1,000 comparisons at 19,999.
        alpha: the share of tables in which an accidental difference may be called one.
    Returns: one row a fraction × method × opponent, sorted: `fraction`, `method`, `against`,
        `role` (`best` or `zero_shot`: what the opponent is), `seeds` (number), `top1`,
        `against_top1`, `difference` (shares; > 0 where `method` is better), `low`, `high`,
        `p_value`, `p_holm` (over the whole table), `test` (`mcnemar` or `sign-flip`),
        `distinguishable` (p_holm < alpha, and the interval leaves zero out).
    Raises: ValueError: two methods of a fraction have no seed in common.
    Source: McNemar 1947; Good 2005, section 3.2 (sign-flip); Holm 1979.
    """
    points = points_of(trial_probabilities, target)
    zero_shot = zero_shot_probabilities.argmax(axis=1) == target
    pairs = [
        pair
        for fraction in sorted({fraction for _, fraction in points})
        for pair in _pairs(points, fraction, best_by_folds(arms, fraction), zero_shot, target)
    ]
    p_values = _p_values([pair.difference for pair in pairs], permutations, seed)
    adjusted = holm(p_values)
    rows = []
    for pair, p_value, p_holm in zip(pairs, p_values, adjusted, strict=True):
        low, high = np.quantile(resampled_means(pair.difference, seed, resamples), [0.025, 0.975])
        seeds = len(pair.difference)
        distinct = bool(p_holm < alpha and (low > 0 or high < 0))
        rows.append(
            (pair.point.fraction, pair.point.method, pair.against, pair.role, seeds, *pair.top1,
             float(pair.difference.mean()), float(low), float(high), float(p_value),
             float(p_holm), "mcnemar" if seeds == 1 else "sign-flip", distinct)
        )  # fmt: skip
    return pd.DataFrame(rows, columns=list(_COLUMNS))


def best_by_folds(arms: pd.DataFrame, fraction: float) -> str | None:
    """The method with the highest mean `cv_top1` at a fraction; None where no arm has one.

    Ties go to the lower `cv_log_loss`, where there is one, then to the first name.
    """
    near = np.isclose(arms["fraction"], fraction, rtol=1e-5)
    measured = arms[near & arms["cv_top1"].notna().to_numpy()]
    if measured.empty:
        return None
    loss = measured.get("cv_log_loss", pd.Series(0.0, index=measured.index))
    means = measured.assign(loss=loss).groupby("method")[["cv_top1", "loss"]].mean().reset_index()
    ranked = means.sort_values(["cv_top1", "loss", "method"], ascending=[False, True, True])
    return str(ranked["method"].iloc[0])


def mcnemar_p(first_only: int, second_only: int) -> float:
    """Exact two-sided p-value of McNemar's test.

    Args: first_only, second_only: photographs that one of the two alone got right.
    Returns: 2 · P(Binomial(b + c, 1/2) <= min(b, c)), at most 1. For 1 and 5 it is 0.21875.
    """
    if first_only + second_only == 0:
        return 1.0
    return float(binomtest(first_only, first_only + second_only, 0.5).pvalue)


def sign_flip_p(differences: np.ndarray, permutations: int, seed: int) -> np.ndarray:
    """Two-sided permutation p-values of zero mean, photographs' signs flipped at random.

    Args:
        differences: (K, N) float, multiples of 1/S as means over S seeds are; K comparisons, all
            under the same flips.
    Returns: (K,) in [1 / (permutations + 1), 1].
    """
    rng = np.random.default_rng(seed)
    totals = np.abs(differences.sum(axis=1))  # (K,)
    columns = differences.T.astype(np.float32)  # (N, K)
    beyond = np.zeros(len(differences), dtype=np.int64)
    for start in range(0, permutations, _BLOCK_paired):
        size = (min(_BLOCK_paired, permutations - start), len(columns))
        signs = rng.integers(0, 2, size=size, dtype=np.int8).astype(np.float32) * 2 - 1
        flipped = np.abs(signs @ columns)  # (block, K)
        beyond += (flipped >= totals - _TOLERANCE).sum(axis=0)
    return (1 + beyond) / (1 + permutations)


def holm(p_values: np.ndarray) -> np.ndarray:
    """Holm's step-down correction of (K,) p-values; [.01, .04, .03] becomes [.03, .06, .06]."""
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(p_values), 0, -1)
    stepped = np.maximum.accumulate(np.asarray(p_values)[order] * factors)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def _pairs(
    points: Mapping[tuple[str, float], Point],
    fraction: float,
    best: str | None,
    zero_shot: np.ndarray,
    target: np.ndarray,
) -> list[_Pair]:
    here = [point for (_, share), point in points.items() if share == fraction]
    champion = next((point for point in here if point.method == best), None)
    pairs = []
    for point in here:
        if champion is not None and point is not champion:
            pairs.append(_against(point, champion, target))
        correct = point.correct(target)
        difference = correct.astype(np.float64) - zero_shot[None, :]
        top1 = (float(correct.mean()), float(zero_shot.mean()))
        pairs.append(_Pair(point, ZERO_SHOT, ZERO_SHOT, top1, difference))
    return pairs


def _against(point: Point, champion: Point, target: np.ndarray) -> _Pair:
    shared = tuple(seed for seed in point.seeds if seed in champion.seeds)
    if not shared:
        raise ValueError(
            f"{point.method} and {champion.method} share no seed at fraction {point.fraction:g}"
        )
    own, other = (arm.of_seeds(shared).correct(target) for arm in (point, champion))
    top1 = (float(own.mean()), float(other.mean()))
    return _Pair(point, champion.method, "best", top1, own.astype(np.float64) - other)


def _p_values(differences: list[np.ndarray], permutations: int, seed: int) -> np.ndarray:
    p_values = np.empty(len(differences))
    several = [place for place, values in enumerate(differences) if len(values) > 1]
    for place, values in enumerate(differences):
        if len(values) == 1:
            p_values[place] = mcnemar_p(int((values > 0).sum()), int((values < 0).sum()))
    if several:
        means = np.stack([differences[place].mean(axis=0) for place in several])  # (K, N)
        p_values[several] = sign_flip_p(means, permutations, seed)
    return p_values
