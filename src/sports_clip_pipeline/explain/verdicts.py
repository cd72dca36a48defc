"""Summary and verdicts of saliency-map quality: baselines and the randomisation check.

Each method is compared with two baseline maps that use neither image nor network, and with its
own maps of the same network with shuffled weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from sports_clip_pipeline.evaluation.bootstrap import resampled_means
from sports_clip_pipeline.explain import BASELINES, CORRELATION
from sports_clip_pipeline.io.fingerprint import fingerprint

BETTER_IS = {"road": 1, "insertion": 1, "deletion": -1}
"""The measures that judge a method; 1 where more is better, -1 where less is."""
ALSO = ("road_morf", "road_lerf")
KINDS = ("all", "right", "wrong")
SUMMARY = (
    "target", "method", "subset", "measure", "images", "mean", "low", "high",
    "baseline", "difference", "difference_low", "difference_high", "beats_baselines",
)  # fmt: skip
VERDICTS = (
    "target", "method", "images", "beats_baselines", "measures_beaten", "depends_on_weights",
    "highest_correlation", "highest_at", "sentence",
)  # fmt: skip


def summarise_explanations(scores: pd.DataFrame, resamples: int, seed: int) -> pd.DataFrame:
    """Means with intervals over images, and the paired difference to the better baseline.

    Args:
        scores: one row an image × target × method × measure: `image`, `right`, `target`,
            `method` (the baselines of `BASELINES` among them), `measure`, `value`.
        resamples, seed: of the bootstrap.
    Returns: one row a target × method × kind of images (`all`, and by whether the explained
        answer was `right` or `wrong`) × measure, the columns of `SUMMARY`. `difference` > 0 is
        better than the better baseline, on the images that the method was measured on; which
        baseline is the better one is found anew in each resample, so its interval is not too
        narrow. For baselines, and for measures that judge nothing, it is NaN.
    """
    rows: list[tuple[Any, ...]] = []
    for (target, measure), part in scores.groupby(["target", "measure"], sort=False):
        values = part.pivot(index="image", columns="method", values="value")
        right = part.drop_duplicates("image").set_index("image")["right"].reindex(values.index)
        for kind, kept in zip(KINDS, (right.notna(), right.eq(True), right.eq(False)), strict=True):
            for method in part["method"].unique():
                own = values.loc[kept, method].dropna()
                if len(own):
                    found = _row(own, values.loc[own.index], str(measure), resamples, seed)
                    rows.append((target, method, kind, measure, len(own), *found))
    return pd.DataFrame(rows, columns=list(SUMMARY))


def _row(
    own: pd.Series, beside: pd.DataFrame, measure: str, resamples: int, seed: int
) -> tuple[Any, ...]:
    means = resampled_means(own.to_numpy(float)[None], seed, resamples)
    low, high = np.quantile(means, [0.025, 0.975])
    spread = (float(own.mean()), float(low), float(high))
    baselines = [name for name in BASELINES if name in beside]
    if own.name in BASELINES or measure not in BETTER_IS or not baselines:
        return (*spread, "", np.nan, np.nan, np.nan, False)
    sign = BETTER_IS[measure]
    baseline_values = {name: sign * beside[name].to_numpy(float) for name in baselines}
    best = max(baselines, key=lambda name: float(baseline_values[name].mean()))
    difference = sign * float(own.mean()) - float(baseline_values[best].mean())
    drawn = [resampled_means(values[None], seed, resamples) for values in baseline_values.values()]
    apart = sign * means - np.max(drawn, axis=0)
    low, high = np.quantile(apart, [0.025, 0.975])
    return (*spread, best, difference, float(low), float(high), bool(low > 0))


def explanation_verdicts(
    summary: pd.DataFrame, limit: float, display_name: Callable[[str], str]
) -> pd.DataFrame:
    """One row and one sentence for each method of each target, over all images.

    A method beats the baselines where the interval of its difference lies above zero in every
    measure of `BETTER_IS`. It depends on the weights unless the interval of its maps' rank
    correlation with those of the shuffled network lies above `limit` at any level; None where the
    check was not made.

    Args:
        summary: of `summarise_explanations`. limit: in [0, 1]. display_name: of a method.
    Returns: the columns of `VERDICTS`.
    """
    every = summary[summary["subset"] == "all"]
    rows = []
    for (target, method), part in every.groupby(["target", "method"], sort=False):
        if method in BASELINES:
            continue
        judged = part[part["measure"].isin(list(BETTER_IS))].set_index("measure")
        beaten = [name for name in BETTER_IS if name in judged.index and _beats(judged, name)]
        depends, highest, level = _dependence(part, limit)
        beats = len(beaten) == len(BETTER_IS)
        images = int(judged["images"].max()) if len(judged) else 0
        sentences = _sentences(
            display_name(str(method)), str(target), judged, (depends, highest, level)
        )
        sentence = " ".join(sentences)
        rows.append(
            (target, method, images, beats, ", ".join(beaten), depends, highest, level,
             sentence)
        )  # fmt: skip
    return pd.DataFrame(rows, columns=list(VERDICTS))


def predictions_fingerprint(predictions: pd.DataFrame) -> str:
    """Fingerprint of the predictions that were explained: another classifier has another one.

    Args:
        predictions: `image`, `finetuned_label`, `finetuned_probability`, `zero_shot_label`,
            `zero_shot_probability` of the evaluation images.
    """
    labels = predictions[["image", "finetuned_label", "zero_shot_label"]].to_numpy(dtype=str)
    probabilities = predictions[["finetuned_probability", "zero_shot_probability"]].to_numpy(
        np.float64
    )
    return fingerprint(labels.tolist(), probabilities)


def headline_numbers(summary: pd.DataFrame) -> dict[str, float]:
    """What is logged: differences to the better baseline and rank correlations, by flat name."""
    every = summary[summary["subset"] == "all"]
    named = {}
    for row in every.to_dict("records"):
        key = f"cam_eval/{row['target']}/{row['method']}/{_flat(row['measure'])}"
        named[key] = float(row["mean"])
        if not np.isnan(row["difference"]):
            named[f"{key}_over_baseline"] = float(row["difference"])
    return named


def _flat(measure: str) -> str:
    return measure.replace(CORRELATION, "shuffled ").replace("/", " of ").replace(" ", "_")


def _beats(judged: pd.DataFrame, measure: str) -> bool:
    return bool(judged.loc[measure, "beats_baselines"])


def _dependence(part: pd.DataFrame, limit: float) -> tuple[bool | None, float, str]:
    """Whether maps change with the weights; the highest mean correlation and its level."""
    found = part[part["measure"].str.startswith(CORRELATION)]
    if found.empty:
        return None, float("nan"), ""
    worst = found.iloc[int(found["mean"].to_numpy().argmax())]
    level = str(worst["measure"]).removeprefix(CORRELATION)
    return not bool((found["low"] > limit).any()), float(worst["mean"]), level


def _sentences(
    name: str, target: str, judged: pd.DataFrame, dependence: tuple[bool | None, float, str]
) -> Iterator[str]:
    name = f"{name[:1].upper()}{name[1:]}"
    of = {"classifier": "of the classifier", "prompts": "of the prompts"}.get(target, target)
    short = [name for name in BETTER_IS if name not in judged.index or not _beats(judged, name)]
    if short:
        yield f"{name} {of} does not beat the better baseline in {_listed(judged, short)}."
    else:
        yield f"{name} {of} beats the better baseline in ROAD, insertion and deletion."
    depends, highest, level = dependence
    if depends is False:
        yield (
            f"It fails the randomisation check: with the weights of the {level} shuffled, its maps "
            f"keep a rank correlation of {highest:.2f} with those of the trained network."
        )
    elif depends:
        yield f"It passes the randomisation check (highest rank correlation {highest:.2f})."


def _listed(judged: pd.DataFrame, short: list[str]) -> str:
    """The measures in which it falls short, each with its difference and interval."""
    texts = []
    for measure in short:
        word = {"road": "ROAD"}.get(measure, measure)
        if measure not in judged.index:
            texts.append(f"{word} (not measured)")
            continue
        columns = ("difference", "difference_low", "difference_high")
        apart, low, high = (float(judged[column][measure]) for column in columns)
        texts.append(f"{word} ({apart:+.3f}, 95 % interval {low:+.3f} to {high:+.3f})")
    joined = " and ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)
    return joined.replace("-0.", "−0.")
