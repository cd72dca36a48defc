"""Summary and verdicts of saliency-map quality: baselines and the randomisation check.

Each method is compared with two baseline maps that use neither image nor network, and with its
own maps of the same network with shuffled weights.
"""

from typing import Any

import numpy as np
import pandas as pd

from sports_clip_pipeline.evaluation.bootstrap import Bootstrap
from sports_clip_pipeline.explain import BASELINES, CORRELATION, METHODS
from sports_clip_pipeline.io.fingerprint import fingerprint

BETTER_IS = {"road": 1, "insertion": 1, "deletion": -1}
"""Measures that are compared with the baselines; 1 where more is better, -1 where less is."""
SUBSETS = ("all", "right", "wrong")
SUMMARY = (
    "target", "method", "subset", "measure", "images", "mean", "low", "high",
    "baseline", "difference", "difference_low", "difference_high", "beats_baselines",
)  # fmt: skip
VERDICTS = (
    "target", "method", "images", "beats_baselines", "measures_beaten", "depends_on_weights",
    "highest_correlation", "highest_at", "sentence",
)  # fmt: skip


def summarise_explanations(scores: pd.DataFrame, resamples: int, seed: int) -> pd.DataFrame:
    """Means with bootstrap intervals over images, and the paired difference to the baselines.

    Args:
        scores: one row an image × target × method × measure: `image`, `right`, `target`,
            `method` (including `BASELINES`), `measure`, `value`.
        resamples, seed: of the bootstrap.
    Returns: one row a target × method × subset (`all`, and by whether the explained prediction
        was `right` or `wrong`) × measure, the columns of `SUMMARY`. `difference` > 0 is better
        than the better baseline, on the images that the method was measured on; the better
        baseline is found anew in each resample, so that its interval is not too narrow. It is NaN
        for baselines, and for measures outside `BETTER_IS`.
    """
    rows: list[tuple[Any, ...]] = []
    for (target, measure), part in scores.groupby(["target", "measure"], sort=False):
        values = part.pivot(index="image", columns="method", values="value")
        right = part.drop_duplicates("image").set_index("image")["right"].reindex(values.index)
        masks = right.notna(), right.eq(True), right.eq(False)
        for subset, mask in zip(SUBSETS, masks, strict=True):
            for method in part["method"].unique():
                own = values.loc[mask, method].dropna()
                if len(own):
                    found = _row(own, values.loc[own.index], str(measure), resamples, seed)
                    rows.append((target, method, subset, measure, len(own), *found))
    return pd.DataFrame(rows, columns=list(SUMMARY))


def _row(
    own: pd.Series, beside: pd.DataFrame, measure: str, resamples: int, seed: int
) -> tuple[Any, ...]:
    bootstrap = Bootstrap(resamples, seed)
    means = bootstrap.means(own.to_numpy(float)[None])
    low, high = np.quantile(means, [0.025, 0.975])
    interval = (float(own.mean()), float(low), float(high))
    if own.name in BASELINES or measure not in BETTER_IS:
        return (*interval, "", np.nan, np.nan, np.nan, False)
    sign = BETTER_IS[measure]
    values = {name: sign * beside[name].to_numpy(float) for name in BASELINES}
    best = max(BASELINES, key=lambda name: float(values[name].mean()))
    difference = sign * float(own.mean()) - float(values[best].mean())
    drawn = [bootstrap.means(baseline[None]) for baseline in values.values()]
    low, high = np.quantile(sign * means - np.max(drawn, axis=0), [0.025, 0.975])
    return (*interval, best, difference, float(low), float(high), bool(low > 0))


def explanation_verdicts(summary: pd.DataFrame, limit: float) -> pd.DataFrame:
    """One row and one sentence for each method of each target, over all images.

    A method beats the baselines if the interval of its difference lies above zero in every
    measure of `BETTER_IS`. It depends on the weights unless the interval of its maps' rank
    correlation with those of the shuffled network lies above `limit` at any level; None if the
    check was not made.

    Args:
        summary: of `summarise_explanations`. limit: in [0, 1].
    Returns: the columns of `VERDICTS`.
    """
    every = summary[summary["subset"] == "all"]
    rows: list[tuple[Any, ...]] = []
    for (target, method), part in every.groupby(["target", "method"], sort=False):
        if method in BASELINES:
            continue
        measures = part.set_index("measure").loc[list(BETTER_IS)]
        beats = measures["beats_baselines"]
        dependence = _dependence(part, limit)
        sentence = _sentence(str(method), str(target), measures[~beats], dependence)
        images, beaten = int(measures["images"].max()), ", ".join(measures.index[beats])
        rows.append((target, method, images, bool(beats.all()), beaten, *dependence, sentence))
    return pd.DataFrame(rows, columns=list(VERDICTS))


def predictions_fingerprint(predictions: pd.DataFrame) -> str:
    """Fingerprint of the explained predictions, which differs for another classifier.

    Args:
        predictions: `image`, `finetuned_label`, `finetuned_probability`, `zero_shot_label`,
            `zero_shot_probability` of the test images.
    """
    labels = predictions[["image", "finetuned_label", "zero_shot_label"]].to_numpy(dtype=str)
    probabilities = predictions[["finetuned_probability", "zero_shot_probability"]]
    return fingerprint(labels.tolist(), probabilities.to_numpy(np.float64))


def headline_numbers(summary: pd.DataFrame) -> dict[str, float]:
    """Logged metrics: means and differences to the better baseline, by flat name."""
    metrics = {}
    for row in summary[summary["subset"] == "all"].to_dict("records"):
        measure = row["measure"].replace(CORRELATION, "shuffled ").replace("/", " of ")
        key = f"cam_eval/{row['target']}/{row['method']}/{measure.replace(' ', '_')}"
        metrics[key] = float(row["mean"])
        if not np.isnan(row["difference"]):
            metrics[f"{key}_over_baseline"] = float(row["difference"])
    return metrics


def _dependence(part: pd.DataFrame, limit: float) -> tuple[bool | None, float, str]:
    """Whether maps depend on the weights; the highest mean correlation and its level."""
    found = part[part["measure"].str.startswith(CORRELATION)]
    if found.empty:
        return None, float("nan"), ""
    highest = found.iloc[int(found["mean"].to_numpy().argmax())]
    level = str(highest["measure"]).removeprefix(CORRELATION)
    return not bool((found["low"] > limit).any()), float(highest["mean"]), level


def _sentence(
    method: str, target: str, not_beaten: pd.DataFrame, dependence: tuple[bool | None, float, str]
) -> str:
    name = METHODS.get(method, method)
    subject = f"{name[:1].upper()}{name[1:]} of the {target}"
    text = f"{subject} beats the better baseline in ROAD, insertion and deletion."
    if len(not_beaten):
        *first, last = [_shortfall(row) for _, row in not_beaten.iterrows()]
        listed = f"{', '.join(first)} and {last}" if first else last
        text = f"{subject} does not beat the better baseline in {listed}."
    depends, highest, level = dependence
    if depends is False:
        text += (
            f" It fails the randomisation check: with the weights of the {level} shuffled, its "
            f"maps keep a rank correlation of {highest:.2f} with those of the trained network."
        )
    elif depends:
        text += f" It passes the randomisation check (highest rank correlation {highest:.2f})."
    return text


def _shortfall(row: pd.Series) -> str:
    """A measure with its difference to the better baseline and the interval."""
    word = str(row.name).replace("road", "ROAD")
    low, high = row["difference_low"], row["difference_high"]
    text = f"{word} ({row['difference']:+.3f}, 95 % interval {low:+.3f} to {high:+.3f})"
    return text.replace("-0.", "−0.")
