"""Bootstrap confidence intervals, and paired significance tests between methods."""

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from sports_clip_pipeline.evaluation.predictions import group_trials

ZERO_SHOT = "zero_shot"
_RESAMPLE_BLOCK, _PERMUTATION_BLOCK = 256, 500  # at a time, to bound memory
# Sums are multiples of 1/S; single precision is off by less than this.
_TOLERANCE = 1e-3
_COLUMNS = ("fraction", "method", "against", "role", "seeds", "top1", "against_top1")


def bootstrap_interval(
    correct: np.ndarray, seed: int, resamples: int = 2000, level: float = 0.95
) -> tuple[float, float]:
    """Percentile bootstrap interval of accuracy over images and, where there are several, seeds.

    Args:
        correct: (S, N) bool; seed s is right on image n.
    Returns: (low, high), shares in [0, 1]. All right gives (1.0, 1.0).
    Source: Efron and Tibshirani 1993, chapter 13.
    """
    tail = (1.0 - level) / 2
    low, high = np.quantile(resampled_means(correct, seed, resamples), [tail, 1.0 - tail])
    return float(low), float(high)


def resampled_means(correct: np.ndarray, seed: int, resamples: int = 2000) -> np.ndarray:
    """Bootstrap distribution of the mean of (S, N) values over images and seeds.

    Each resample draws images with replacement (the same for all seeds, which share the test
    images) and seeds with replacement. The draws depend on `seed` and the shape alone: means of
    two methods can be subtracted resample by resample.

    Args:
        correct: (S, N) bool or float.
    Returns: (R,) float64.
    Raises: ValueError: `correct` is not (S, N) with S, N >= 1.
    """
    if correct.ndim != 2 or 0 in correct.shape:
        raise ValueError(f"correct is (S, N) with both at least 1, got {correct.shape}")
    seeds, images = correct.shape
    hits = correct.T.astype(np.float32)  # (N, S); counts of hits stay exact
    counts = draw_counts(seed, images, resamples)  # (R, N)
    means = np.empty((resamples, seeds))
    for start in range(0, resamples, _RESAMPLE_BLOCK):
        block = slice(start, start + _RESAMPLE_BLOCK)
        means[block] = counts[block].astype(np.float32) @ hits
    means /= images
    if seeds == 1:
        return means[:, 0]
    return (means * draw_counts(seed, seeds, resamples, of_seeds=True)).sum(axis=1) / seeds


@lru_cache(maxsize=16)
def draw_counts(seed: int, items: int, resamples: int, of_seeds: bool = False) -> np.ndarray:
    """How often each resample draws each item, `items` draws with replacement.

    Args:
        of_seeds: draws of seeds are independent of those of images.
    Returns: (R, items) uint16, read-only; rows sum to `items`.
    """
    rng = np.random.default_rng([seed, int(of_seeds)])
    counts = np.empty((resamples, items), dtype=np.uint16)
    for row in counts:
        row[:] = np.bincount(rng.integers(items, size=items), minlength=items)
    counts.flags.writeable = False
    return counts


def paired_comparisons(
    trials: pd.DataFrame,
    trial_probabilities: Mapping[str, np.ndarray],
    target: np.ndarray,
    zero_shot_probabilities: np.ndarray,
    resamples: int = 1000,
    permutations: int = 19_999,
    seed: int = 0,
    alpha: float = 0.05,
) -> pd.DataFrame:
    """Paired tests of every method against the best and against zero-shot, at each fraction.

    The best is the one with the highest mean cross-validated accuracy; the test images have no
    say. The interval resamples images and seeds. The p-value tests whether the two are equally
    good on such images, given these seeds: McNemar's exact test where there is one seed, else a
    sign-flip permutation of each image's mean difference.

    Args:
        trials: `method`, `fraction`, `seed`, `cv_top1` (and `cv_log_loss`, for ties).
        trial_probabilities: (N, C) by `<method>/<fraction>/<seed>`. target: (N,) int.
        zero_shot_probabilities: (N, C).
        permutations: p >= 1 / (permutations + 1), which at 19,999 leaves room for the correction
            of up to 1,000 comparisons.
        alpha: family-wise error rate.
    Returns: one row a fraction × method × opponent, sorted: `fraction`, `method`, `against`,
        `role` (`best` or `zero_shot`: what the opponent is), `seeds` (number), `top1`,
        `against_top1`, `difference` (shares; > 0 where `method` is better), `low`, `high`,
        `p_value`, `p_holm` (over the whole table), `test` (`mcnemar` or `sign-flip`),
        `distinguishable` (p_holm < alpha, and the interval excludes zero).
    Raises: ValueError: two methods of a fraction have no seed in common.
    Source: McNemar 1947; Good 2005, section 3.2 (sign-flip); Holm 1979.
    """
    groups = group_trials(trial_probabilities, target)
    zero_shot = zero_shot_probabilities.argmax(axis=1) == target
    rows, differences = [], []  # differences are (S, N) in {−1, 0, 1}
    for fraction in sorted({fraction for _, fraction in groups}):
        best = groups.get((best_by_cross_validation(trials, fraction) or "", fraction))
        for group in (group for group in groups.values() if group.fraction == fraction):
            pairs = [(ZERO_SHOT, group.correct(target), zero_shot[None, :])]
            if best is not None and best is not group:
                own, other = (
                    each.correct(target)[np.isin(each.seeds, against.seeds)]
                    for each, against in ((group, best), (best, group))
                )
                if not len(own):
                    pair = f"{group.method} and {best.method} share no seed"
                    raise ValueError(f"{pair} at fraction {fraction:g}")
                pairs.insert(0, (best.method, own, other))
            for against, correct, opponent in pairs:
                differences.append(correct.astype(np.float64) - opponent)
                role = ZERO_SHOT if against == ZERO_SHOT else "best"
                top1 = float(correct.mean()), float(opponent.mean())
                rows.append((fraction, group.method, against, role, len(correct), *top1))
    p_values = _p_values(differences, permutations, seed)
    table = pd.DataFrame(rows, columns=list(_COLUMNS))
    means = [resampled_means(difference, seed, resamples) for difference in differences]
    low, high = np.quantile(means, [0.025, 0.975], axis=1)
    p_holm = holm(p_values)
    return table.assign(
        difference=[float(difference.mean()) for difference in differences],
        low=low,
        high=high,
        p_value=p_values,
        p_holm=p_holm,
        test=np.where(table["seeds"] == 1, "mcnemar", "sign-flip"),
        distinguishable=(p_holm < alpha) & ((low > 0) | (high < 0)),
    )


def best_by_cross_validation(trials: pd.DataFrame, fraction: float) -> str | None:
    """The method with the highest mean `cv_top1` at a fraction; None where no trial has one.

    Ties go to the lower `cv_log_loss`, where there is one, then to the first name.
    """
    near = np.isclose(trials["fraction"], fraction, rtol=1e-5)
    measured = trials[near & trials["cv_top1"].notna().to_numpy()]
    if measured.empty:
        return None
    loss = measured.get("cv_log_loss", pd.Series(0.0, index=measured.index))
    means = measured.assign(loss=loss).groupby("method")[["cv_top1", "loss"]].mean().reset_index()
    ranked = means.sort_values(["cv_top1", "loss", "method"], ascending=[False, True, True])
    return str(ranked["method"].iloc[0])


def _p_values(differences: list[np.ndarray], permutations: int, seed: int) -> np.ndarray:
    p_values = np.empty(len(differences))
    several = [i for i, values in enumerate(differences) if len(values) > 1]
    for i, values in enumerate(differences):
        if len(values) == 1:
            p_values[i] = mcnemar_p(int((values > 0).sum()), int((values < 0).sum()))
    if several:
        means = np.stack([differences[i].mean(axis=0) for i in several])  # (K, N)
        p_values[several] = sign_flip_p(means, permutations, seed)
    return p_values


def mcnemar_p(first_only: int, second_only: int) -> float:
    """Exact two-sided p-value of McNemar's test.

    Args: first_only, second_only: images that one of the two alone gets right.
    Returns: 2 · P(Binomial(b + c, 1/2) <= min(b, c)), at most 1. For 1 and 5 it is 0.21875.
    """
    if first_only + second_only == 0:
        return 1.0
    return float(binomtest(first_only, first_only + second_only, 0.5).pvalue)


def sign_flip_p(differences: np.ndarray, permutations: int, seed: int) -> np.ndarray:
    """Two-sided permutation p-values of zero mean, images' signs flipped at random.

    Args:
        differences: (K, N) float, multiples of 1/S as means over S seeds are; K comparisons, all
            under the same flips.
    Returns: (K,) in [1 / (permutations + 1), 1].
    """
    rng = np.random.default_rng(seed)
    totals = np.abs(differences.sum(axis=1))  # (K,)
    columns = differences.T.astype(np.float32)  # (N, K)
    beyond = np.zeros(len(differences), dtype=np.int64)
    for start in range(0, permutations, _PERMUTATION_BLOCK):
        size = (min(_PERMUTATION_BLOCK, permutations - start), len(columns))
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
