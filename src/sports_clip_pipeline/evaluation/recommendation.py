"""Recommendation in words: which method at which number of labels, and its inference cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from sports_clip_pipeline.fewshot.base import METHODS, display_name
from sports_clip_pipeline.pipelines.finetune.config import END_TO_END_ENSEMBLE

_LISTED = 3  # tied methods that are named; the others are counted


@dataclass(frozen=True)
class _Study:
    """The tables that the sentences are made of, display names, and each method's cost."""

    curves: pd.DataFrame
    needed: pd.DataFrame
    paired: pd.DataFrame
    cost: Mapping[str, tuple[float, float]]
    names: Mapping[str, str]

    def name(self, method: str) -> str:
        return display_name(method, self.names)

    def comparisons(self, fraction: float, role: str) -> pd.DataFrame:
        return _at(self.paired[self.paired["role"] == role], fraction)

    def best(self, fraction: float) -> str | None:
        """The method that cross-validation prefers, or the only one there is."""
        rivals = self.comparisons(fraction, "best")
        if len(rivals):
            return str(rivals["against"].iloc[0])
        methods = _at(self.curves, fraction)["method"]
        return str(methods.iloc[0]) if len(methods) == 1 else None

    def point(self, method: str, fraction: float) -> Any:
        points = _at(self.curves, fraction)
        return points[points["method"] == method].iloc[0]


def _at(table: pd.DataFrame, fraction: float) -> pd.DataFrame:
    """Rows of a label fraction, which may be rounded to six digits."""
    return table[np.isclose(table["fraction"], fraction, rtol=1e-5)]


def recommend(
    curves: pd.DataFrame,
    needed: pd.DataFrame,
    paired: pd.DataFrame,
    inference_cost: pd.DataFrame,
    names: Mapping[str, str],
    end_to_end_curves: pd.DataFrame,
) -> list[str]:
    """Sentences: which method at the fewest, a middle and the most labels, its accuracy and cost.

    The method named is the one that cross-validation prefers; methods that do not differ
    significantly from it, or do better on the test images, are named as such.

    Args:
        curves, end_to_end_curves: of `learning_curves`. needed: of `labels_needed`.
        paired: of `paired_comparisons`. inference_cost: of `inference_cost_table`.
        names: method -> display name.
    """
    measured = inference_cost.dropna(subset=["ms_per_image", "parameters"])
    cost = {
        str(row["method"]): (float(row["ms_per_image"]), float(row["parameters"]))
        for row in measured.to_dict("records")
    }
    study = _Study(curves, needed, paired, cost, names)
    fractions = sorted(curves["fraction"].unique())
    sentences = _zero_shot(study, fractions)
    with_cost = ""
    for fraction in sorted({fractions[0], fractions[len(fractions) // 2], fractions[-1]}):
        method = study.best(fraction)
        if method is not None:
            sentences += _accuracy(study, method, fraction)
            sentences += _cost(study, method, fraction, repeated=method == with_cost)
            with_cost = method
    return sentences + _end_to_end(study, end_to_end_curves) + _targets(study, fractions)


def _accuracy(study: _Study, method: str, fraction: float) -> list[str]:
    point, name = study.point(method, fraction), study.name(method)
    rivals = study.comparisons(fraction, "best").sort_values(
        ["difference", "method"], ascending=[False, True]
    )
    apart = rivals["distinguishable"].astype(bool)
    tied, better = rivals[~apart], rivals[apart & (rivals["difference"] > 0)]
    worse = rivals[apart & (rivals["difference"] < 0)]
    sentences = [
        f"With {_count(point['labels'])} labels use {name}: {_percent(point['top1_mean'])} "
        f"({_range(point['top1_low'], point['top1_high'])})."
    ]
    if len(tied):
        verb = "does" if len(tied) == 1 else "do"
        sentences.append(f"{_listed(study, tied)} {verb} not differ significantly from it.")
    if len(better):
        sentences.append(
            f"{_listed(study, better)} did better on the test images, which have no say in the "
            "choice; it is made by cross-validation."
        )
    if len(worse) and len(worse) == len(rivals):
        nearest = worse.iloc[0]
        sentences.append(
            f"It is significantly better than every other method; {study.name(nearest['method'])} "
            f"is next, by {_points(-nearest['difference'])} ({_p(nearest['p_holm'])})."
        )
    return sentences


def _listed(study: _Study, rows: pd.DataFrame) -> str:
    """`A (70.9 %, p = 0.41), B (…) and 2 more`."""
    words = [
        f"{study.name(row['method'])} ({_percent(row['top1'])}, {_p(row['p_holm'])})"
        for row in rows.head(_LISTED).to_dict("records")
    ]
    if len(rows) > _LISTED:
        words.append(f"{len(rows) - _LISTED} more")
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _cost(study: _Study, method: str, fraction: float, repeated: bool) -> list[str]:
    """The method's inference cost, unless repeated, and the cheapest of those tied with it."""
    if method not in study.cost:
        return []
    rivals = study.comparisons(fraction, "best")
    tied = rivals[~rivals["distinguishable"].astype(bool)]["method"]
    cheaper = [m for m in tied if m in study.cost and study.cost[m] < study.cost[method]]
    sentence = "" if repeated else f"{study.name(method)} costs {_cost_text(study.cost[method])}"
    if cheaper:
        cheapest = min(cheaper, key=lambda name: (*study.cost[name], name))
        sentence += "; " if sentence else "Here "
        sentence += (
            f"{study.name(cheapest)}, which does not differ significantly from it, costs "
            f"{_cost_text(study.cost[cheapest])}"
        )
    return [f"{sentence}."] if sentence else []


def _zero_shot(study: _Study, fractions: Sequence[float]) -> list[str]:
    """Zero-shot accuracy, and the fewest labels that are significantly better."""
    rows = [
        row
        for fraction in fractions
        for row in study.comparisons(fraction, "zero_shot").to_dict("records")
        if row["method"] == study.best(fraction)
    ]
    if not rows:
        return []
    start = f"Without labels, zero-shot gives {_percent(rows[0]['against_top1'])}."
    better = next((row for row in rows if row["distinguishable"] and row["difference"] > 0), None)
    if better is None:
        return [f"{start} No number of labels measured is significantly better."]
    labels = _count(study.point(better["method"], better["fraction"])["labels"])
    gain = (
        f"{_points(better['difference'])} ({_range(better['low'], better['high'])}; "
        f"{_p(better['p_holm'])}) with {study.name(better['method'])}"
    )
    if better is rows[0]:
        return [f"{start} {labels} labels add {gain}."]
    return [f"{start} The fewest labels that are significantly better: {labels}, {gain}."]


def _end_to_end(study: _Study, curves: pd.DataFrame) -> list[str]:
    """Accuracy of the ensemble of end-to-end and frozen-feature classifiers."""
    rows = curves[curves["method"] == END_TO_END_ENSEMBLE].sort_values("labels")
    points = [
        f"{_percent(row['top1_mean'])} ({_range(row['top1_low'], row['top1_high'])}) with "
        f"{_count(row['labels'])} labels"
        for row in rows.to_dict("records")
    ]
    name = study.name(END_TO_END_ENSEMBLE)
    return [f"With hours of end-to-end training, {name}: {', '.join(points)}."] if points else []


def _targets(study: _Study, fractions: Sequence[float]) -> list[str]:
    """Labels needed for each accuracy, by the method that is recommended where it is reached."""
    most = float(study.curves["labels"].max())
    sentences = []
    for target in sorted(study.needed["target"].unique()):
        method = _method_for(study, fractions, float(target))
        rows = study.needed[study.needed["target"] == target]
        for row in rows[rows["method"] == method].to_dict("records"):
            sentences.append(_target(row, study.name(row["method"]), most))
    return sentences


def _method_for(study: _Study, fractions: Sequence[float], target: float) -> str | None:
    """The best method at the first fraction where it reaches the target, else at the last."""
    method = None
    for fraction in fractions:
        method = study.best(fraction) or method
        if method is None or method not in set(_at(study.curves, fraction)["method"]):
            continue
        if study.point(method, fraction)["top1_mean"] >= target:
            return method
    return method


def _target(row: Mapping[Any, Any], name: str, most: float) -> str:
    accuracy, kind = _percent(row["target"]), row["kind"]
    if kind == "measured below":
        return f"{accuracy} takes {_count(row['labels'])} labels or fewer with {name}."
    if kind == "out of reach":
        return (
            f"{accuracy} is out of reach with {name}: its learning curve extrapolates to more than "
            f"100 times the {_count(most)} labels there are, or never reaches it."
        )
    low, high = _about(row["low"]), row["high"]
    between = f"{low}–{_about(high)}" if np.isfinite(high) else f"{low} or more"
    labels = f"{_about(row['labels'])} labels with {name} ({between})"
    if kind == "interpolated":
        return f"{accuracy} takes about {labels}."
    return (
        f"{accuracy} would take about {labels}, extrapolated beyond the {_count(most)} there are."
    )


def _cost_text(cost: tuple[float, float]) -> str:
    return f"{cost[0]:.3g} ms an image and {cost[1] / 1e6:.1f} million parameters"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}\u00a0%"


def _range(low: float, high: float) -> str:
    return f"{100 * low:.1f}–{100 * high:.1f}"


def _points(difference: float) -> str:
    return f"{100 * difference:.1f} points"


def _count(number: float) -> str:
    return f"{round(number):,}"


def _about(number: float) -> str:
    """Rounded to two digits, which an interval of labels is not more precise than."""
    return _count(float(f"{number:.1e}"))


def _p(p_value: float) -> str:
    if p_value < 0.001:
        return "p < 0.001"
    return f"p = {p_value:.3f}" if p_value < 0.1 else f"p = {p_value:.2f}"


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
