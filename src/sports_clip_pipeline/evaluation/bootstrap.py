"""Bootstrap confidence intervals, and paired significance tests between methods."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from scipy.stats import binomtest, norm, t

from sports_clip_pipeline.evaluation.predictions import group_trials

ZERO_SHOT = "zero_shot"
_RESAMPLE_BLOCK, _PERMUTATION_BLOCK = 256, 500  # at a time, to bound memory
# Sums are multiples of 1/S; single precision is off by less than this.
_TOLERANCE = 1e-3
_COLUMNS = ("fraction", "method", "against", "role", "seeds", "top1", "against_top1")


@dataclass(frozen=True)
class Bootstrap:
    """Cluster bootstrap of means over images, in duplicate groups, and over seeds.

    The draws depend on `seed` and the number of groups alone: means of two methods can be
    subtracted resample by resample.

    Attributes:
        groups: (N,) int, duplicate groups of the images, which are drawn as a whole; None: each
            image is a group.
    Source: Field and Welsh 2007 (cluster bootstrap); Zou and Donner 2008 (MOVER: the interval of a
        sum from those of its parts).
    """

    resamples: int = 2000
    seed: int = 0
    groups: np.ndarray | None = None

    def interval(self, values: np.ndarray) -> tuple[float, float]:
        """95 % interval of the mean of (S, N) shares, in [0, 1]. All ones give (1.0, 1.0)."""
        low, high = np.quantile(self.means(values), [0.025, 0.975]).clip(0.0, 1.0)
        return float(low), float(high)

    def means(self, values: np.ndarray) -> np.ndarray:
        """Resampled means of (S, N) values, whose 95 % percentile interval is that of the mean.

        Each resample draws groups with replacement, the same for all seeds. With several seeds it
        adds a normal deviation. Its variance is that of the seeds' means with S − 1 degrees of
        freedom, over S, less what the images of S seeds contribute to it; it is scaled to the 95 %
        quantile of Student's t, as few seeds estimate it badly.

        Args:
            values: bool or float; seed s scores `values[s, n]` on image n.
        Returns: (R,) float64.
        Raises: ValueError: `values` is not (S, N) with S, N >= 1, N the length of `groups`.
        """
        if values.ndim != 2 or 0 in values.shape:
            raise ValueError(f"values are (S, N) with both at least 1, got {values.shape}")
        seeds, images = values.shape
        sums = self.group_sums(values)  # (S, G)
        sizes = self.group_sums(np.ones((1, images)))[0]
        counts = draw_counts(self.seed, len(sizes), self.resamples)  # (R, G)
        means = np.empty(self.resamples)
        for start in range(0, self.resamples, _RESAMPLE_BLOCK):
            drawn = counts[start : start + _RESAMPLE_BLOCK].astype(np.float64)
            means[start : start + len(drawn)] = (drawn @ sums.mean(axis=0)) / (drawn @ sizes)
        of_seeds = values.mean(axis=1, dtype=np.float64)  # (S,)
        if np.ptp(of_seeds) == 0:
            return means
        centred = sums - sums.mean(axis=0) - sizes * (of_seeds - of_seeds.mean())[:, None]
        of_images = (centred**2).sum() / (seeds * (seeds - 1) * images**2)
        variance = of_seeds.var(ddof=1) / seeds
        share = max(0.0, 1.0 - of_images / variance)
        scale = t.ppf(0.975, seeds - 1) / norm.ppf(0.975) / np.sqrt(seeds * (seeds - 1))
        draws = np.random.default_rng([self.seed, 1]).standard_normal((self.resamples, seeds))
        return means + np.sqrt(share) * scale * (draws @ (of_seeds - of_seeds.mean()))

    def group_sums(self, values: np.ndarray) -> np.ndarray:
        """Sums of (S, N) values over each group, (S, G) float64."""
        if self.groups is None:
            return values.astype(np.float64)
        if len(self.groups) != values.shape[1]:
            raise ValueError(f"{len(self.groups)} groups, {values.shape[1]} columns of values")
        codes = np.unique(self.groups, return_inverse=True)[1]
        return np.stack([np.bincount(codes, weights=row) for row in values])


@lru_cache(maxsize=16)
def draw_counts(seed: int, items: int, resamples: int) -> np.ndarray:
    """How often each resample draws each item, `items` draws with replacement.

    Returns: (R, items) uint16, read-only; rows sum to `items`.
    """
    rng = np.random.default_rng([seed, 0])
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
    bootstrap: Bootstrap,
    permutations: int = 19_999,
    alpha: float = 0.05,
) -> pd.DataFrame:
    """Paired tests of every method against the best and against zero-shot, at each fraction.

    The best is the one with the highest mean cross-validated accuracy; the test images have no
    say. The interval resamples images and seeds. The p-value tests whether the two are equally
    good on such images, given these seeds: McNemar's exact test where there is one seed and no
    duplicate, else a sign-flip permutation of each duplicate group's mean difference.

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
    sums = [bootstrap.group_sums(difference) for difference in differences]  # (S, G) each
    exact = np.array([len(s) == 1 and s.shape[1] == len(target) for s in sums], dtype=bool)
    p_values = np.empty(len(sums))
    for i in np.flatnonzero(exact):
        p_values[i] = mcnemar_p(int((sums[i] > 0).sum()), int((sums[i] < 0).sum()))
    if not exact.all():
        means = np.stack([sums[i].mean(axis=0) for i in np.flatnonzero(~exact)])  # (K, G)
        p_values[~exact] = sign_flip_p(means, permutations, bootstrap.seed)
    table = pd.DataFrame(rows, columns=list(_COLUMNS))
    resampled = [bootstrap.means(difference) for difference in differences]
    low, high = np.quantile(resampled, [0.025, 0.975], axis=1)
    p_holm = holm(p_values)
    return table.assign(
        difference=[float(difference.mean()) for difference in differences],
        low=low,
        high=high,
        p_value=p_values,
        p_holm=p_holm,
        test=np.where(exact, "mcnemar", "sign-flip"),
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
