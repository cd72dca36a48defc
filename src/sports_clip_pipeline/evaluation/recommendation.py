"""What to do with so many labels, in words that the numbers hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import confusion_matrix

from sports_clip_pipeline.evaluation.test_predictions import points_of
from sports_clip_pipeline.fewshot.base import METHODS
from sports_clip_pipeline.pipelines.end_to_end.config import END_TO_END_ENSEMBLE

_PERCENT, _SHOWN = "\u00a0%", 3


@dataclass(frozen=True)
class _Tables:
    """The tables that sentences are made of, and how methods are called."""

    curves: pd.DataFrame
    needed: pd.DataFrame
    paired: pd.DataFrame
    price: Mapping[str, tuple[float, float]]
    names: Mapping[str, str] = field(default_factory=dict)

    def called(self, method: str) -> str:
        return self.names.get(method, method)

    def at(self, fraction: float) -> pd.DataFrame:
        return self.curves[np.isclose(self.curves["fraction"], fraction, rtol=1e-5)]

    def comparisons(self, fraction: float, role: str) -> pd.DataFrame:
        near = np.isclose(self.paired["fraction"], fraction, rtol=1e-5)
        return self.paired[near & (self.paired["role"] == role).to_numpy()]

    def chosen(self, fraction: float) -> str | None:
        """The method that held-out folds chose, or the only one there is."""
        rivals = self.comparisons(fraction, "best")
        if len(rivals):
            return str(rivals["against"].iloc[0])
        here = self.at(fraction)["method"]
        return str(here.iloc[0]) if len(here) == 1 else None

    def point(self, method: str, fraction: float) -> Any:
        here = self.at(fraction)
        return here[here["method"] == method].iloc[0]


def recommend(
    curves: pd.DataFrame,
    needed: pd.DataFrame,
    paired: pd.DataFrame,
    price: pd.DataFrame | None = None,
    names: Mapping[str, str] | None = None,
    fractions: Sequence[float] | None = None,
    pixels: pd.DataFrame | None = None,
) -> list[str]:
    """A short list of sentences: which method at which number of labels, and what it is worth.

    The method named at a fraction is the one chosen on held-out folds of the labelled part. What
    cannot be told apart from it is said to be so, and so is a method that did better on
    evaluation.

    Args:
        curves: of `learning_curves`. needed: of `labels_needed`. paired: of `paired_comparisons`;
            p-values are given as corrected there.
        price: one row a method: `method`, `ms_per_photograph`, `parameters`; NaN or missing
            where not known.
        names: how people call the methods.
        fractions: which to speak of; the least, the middle and the largest by default.
        pixels: as `curves`, of the arms that train through the image tower.
    Returns: sentences, the same for the same tables.
    Raises: ValueError: a method with two prices.
    """
    tables = _Tables(curves, needed, paired, _prices(price), names or {})
    measured = sorted(curves["fraction"].unique())
    spoken = fractions or sorted({measured[0], measured[len(measured) // 2], measured[-1]})
    sentences = _zero_shot(tables, measured)
    priced = ""
    for fraction in spoken:
        method = tables.chosen(fraction)
        if method is None:
            continue
        sentences += _at(tables, method, fraction)
        sentences += _price(tables, method, fraction, told=method == priced)
        priced = method
    return sentences + _through_pixels(tables, pixels) + _targets(tables, measured)


def _at(tables: _Tables, method: str, fraction: float) -> list[str]:
    point = tables.point(method, fraction)
    rivals = tables.comparisons(fraction, "best").sort_values(
        ["difference", "method"], ascending=[False, True]
    )
    apart = rivals["distinguishable"].astype(bool)
    tied, better = rivals[~apart], rivals[apart & (rivals["difference"] > 0)]
    behind = rivals[apart & (rivals["difference"] < 0)]
    low_high = _range(point["top1_low"], point["top1_high"])
    sentences = [
        f"With {_count(point['labels'])} labels use {tables.called(method)}: "
        f"{_percent(point['top1_mean'])} ({low_high})."
    ]
    if len(tied):
        sentences.append(_listed(tables, tied) + " cannot be told apart from it.")
    if len(better):
        sentences.append(
            f"{_listed(tables, better)} did better on the evaluation photographs, which have no "
            "say in the choice; it is made on held-out folds of the labelled ones."
        )
    if len(behind) and len(behind) == len(rivals):
        nearest = behind.iloc[0]
        sentences.append(
            f"It is ahead of every other method measured, of {tables.called(nearest['method'])} "
            f"by {_points(-nearest['difference'])} ({_p(nearest['p_holm'])})."
        )
    return sentences


def _through_pixels(tables: _Tables, pixels: pd.DataFrame | None) -> list[str]:
    """What training a tower adds to the stacked ensemble on frozen features."""
    if pixels is None or pixels.empty:
        return []
    joined = pixels[pixels["method"] == END_TO_END_ENSEMBLE].sort_values("labels")
    points = [
        f"{_percent(row['top1_mean'])} ({_range(row['top1_low'], row['top1_high'])}) with "
        f"{_count(row['labels'])} labels"
        for _, row in joined.iterrows()
    ]
    if not points:
        return []
    return [f"Hours of training buy {tables.called(END_TO_END_ENSEMBLE)}: {', '.join(points)}."]


def _listed(tables: _Tables, rows: pd.DataFrame) -> str:
    """`A (70.9 %, p = 0.41), B (…) and 2 more`."""
    words = [
        f"{tables.called(row['method'])} ({_percent(row['top1'])}, {_p(row['p_holm'])})"
        for _, row in rows.head(_SHOWN).iterrows()
    ]
    if len(rows) > _SHOWN:
        words.append(f"{len(rows) - _SHOWN} more")
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _price(tables: _Tables, method: str, fraction: float, told: bool) -> list[str]:
    """What the method costs, unless told, and the cheapest of those that are tied with it."""
    if method not in tables.price:
        return []
    rivals = tables.comparisons(fraction, "best")
    tied = rivals[~rivals["distinguishable"].astype(bool)]["method"]
    cheaper = [
        name for name in tied if name in tables.price and tables.price[name] < tables.price[method]
    ]
    own = "" if told else f"{tables.called(method)} costs {_cost(tables.price[method])}"
    if not cheaper:
        return [own + "."] if own else []
    least = min(cheaper, key=lambda name: (*tables.price[name], name))
    other = f"{tables.called(least)}, which cannot be told apart from it, costs "
    joined = f"{own}; {other}" if own else f"Here {other}"
    return [joined + f"{_cost(tables.price[least])}."]


def _zero_shot(tables: _Tables, fractions: Sequence[float]) -> list[str]:
    """What zero-shot gives, and the fewest labels that are distinguishably better."""
    rows = [
        row
        for fraction in fractions
        for _, row in tables.comparisons(fraction, "zero_shot").iterrows()
        if row["method"] == tables.chosen(fraction)
    ]
    if not rows:
        return []
    start = f"Without a label zero-shot gives {_percent(rows[0]['against_top1'])}."
    for row in rows:
        if not row["distinguishable"] or row["difference"] <= 0:
            continue
        labels = _count(tables.point(row["method"], row["fraction"])["labels"])
        gain = f"{_points(row['difference'])} ({_range(row['low'], row['high'])}"
        gain = f"{gain}; {_p(row['p_holm'])}) with {tables.called(row['method'])}"
        if row is rows[0]:
            return [f"{start} {labels} labels add {gain}."]
        return [
            f"{start} The fewest labels measured that are distinguishably better: {labels}, {gain}."
        ]
    return [f"{start} No number of labels measured is distinguishably better."]


def _targets(tables: _Tables, fractions: Sequence[float]) -> list[str]:
    """Labels needed with the method that is recommended where its curve gets there."""
    most = float(tables.curves["labels"].max())
    sentences = []
    for target in sorted(tables.needed["target"].unique()):
        method = _method_for(tables, fractions, float(target))
        rows = tables.needed[tables.needed["target"] == target]
        rows = rows[rows["method"] == method]
        if len(rows):
            row = rows.iloc[0]
            sentences.append(_target(row, tables.called(str(row["method"])), most))
    return sentences


def _method_for(tables: _Tables, fractions: Sequence[float], target: float) -> str | None:
    """The choice at the first fraction where that choice reaches the target, else at the last."""
    method = None
    for fraction in fractions:
        method = tables.chosen(fraction) or method
        if method is None or method not in set(tables.at(fraction)["method"]):
            continue
        if tables.point(method, fraction)["top1_mean"] >= target:
            return method
    return method


def _target(row: Any, name: str, most: float) -> str:
    wanted, kind = _percent(row["target"]), row["kind"]
    if kind == "measured below":
        return f"{wanted} takes {_count(row['labels'])} labels or fewer with {name}."
    if kind == "out of reach":
        return (
            f"{wanted} is out of reach with {name}: the trend of its curve asks for more than 100 "
            f"times the {_count(most)} labels there are, or never gets there."
        )
    low, high = _about(row["low"]), row["high"]
    between = f"{low}–{_about(high)}" if np.isfinite(high) else f"{low} or more"
    labels = f"{_about(row['labels'])} labels with {name} ({between})"
    if kind == "interpolated":
        return f"{wanted} takes about {labels}."
    return f"{wanted} would take about {labels}, extrapolated beyond the {_count(most)} there are."


def _prices(price: pd.DataFrame | None) -> dict[str, tuple[float, float]]:
    if price is None or price.empty:
        return {}
    known = price.dropna(subset=["ms_per_photograph", "parameters"])
    twice = known["method"][known["method"].duplicated()]
    if len(twice):
        raise ValueError(f"one price a method is wanted, {twice.iloc[0]} has several")
    return {
        str(row["method"]): (float(row["ms_per_photograph"]), float(row["parameters"]))
        for _, row in known.iterrows()
    }


def _cost(price: tuple[float, float]) -> str:
    return f"{price[0]:.3g} ms a photograph and {price[1] / 1e6:.1f} million parameters"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}{_PERCENT}"


def _range(low: float, high: float) -> str:
    return f"{100 * low:.1f}–{100 * high:.1f}"


def _points(difference: float) -> str:
    return f"{100 * difference:.1f} points"


def _count(number: float) -> str:
    return f"{round(number):,}"


def _about(number: float) -> str:
    """To two digits: no interval of labels is worth more."""
    return _count(float(f"{number:.1e}"))


def _p(p_value: float) -> str:
    if p_value < 0.001:
        return "p < 0.001"
    return f"p = {p_value:.3f}" if p_value < 0.1 else f"p = {p_value:.2f}"


_GAINS = (
    "label", "fraction", "seeds", "photographs", "precision", "recall", "f1", "recall_gain",
    "f1_gain",
)  # fmt: skip
_PAIRS = ("first", "second", "photographs", "first_as_second", "second_as_first", "share")


def class_gains(
    method: str,
    trial_probabilities: Mapping[str, np.ndarray],
    target: np.ndarray,
    labels: Sequence[str],
    zero_shot_probabilities: np.ndarray,
) -> pd.DataFrame:
    """Precision, recall and F1 of each class, from zero-shot to every fraction of one method.

    Args:
        trial_probabilities: (N, C) by `<method>/<fraction>/<seed>`; other methods are left out.
        target: (N,) int in [0, C). labels: the C class names. zero_shot_probabilities: (N, C).
    Returns: one row a class × fraction, fractions ascending within a class: `label`, `fraction`
        (0 is zero-shot), `seeds` (number), `photographs` (of the class on evaluation),
        `precision`, `recall`, `f1` (means over seeds; 0 where nothing is predicted),
        `recall_gain`, `f1_gain` (less zero-shot's).
    Raises: ValueError: the method has no arm.
    """
    answers = {0.0: zero_shot_probabilities.argmax(axis=1)[None, :]}
    for (name, fraction), point in points_of(trial_probabilities, target).items():
        if name == method:
            answers[fraction] = point.predicted()  # (S, N)
    if len(answers) == 1:
        raise ValueError(f"no arm of {method}")
    figures = {
        fraction: np.mean([_figures(row, target, len(labels)) for row in predicted], axis=0)
        for fraction, predicted in sorted(answers.items())
    }  # each (3, C)
    support = np.bincount(target, minlength=len(labels))
    rows = []
    for place, label in enumerate(labels):
        for fraction, values in figures.items():
            own, start = values[:, place], figures[0.0][:, place]
            seeds = len(answers[fraction])
            gained = (own - start)[1:].tolist()
            rows.append((label, fraction, seeds, int(support[place]), *own.tolist(), *gained))
    return pd.DataFrame(rows, columns=list(_GAINS))


def remaining_confusions(
    probabilities: Sequence[np.ndarray], target: np.ndarray, labels: Sequence[str], top: int = 15
) -> pd.DataFrame:
    """The pairs of classes that are taken for each other most often.

    Args:
        probabilities: S arrays (N, C), one a seed. target: (N,) int. labels: the C class names.
        top: pairs kept; those never confused are left out.
    Returns: most confused first, ties in the order of `labels`: `first`, `second`, `photographs`
        (taken for each other, mean over seeds), `first_as_second` and `second_as_first` (true
        class as predicted one), `share` (of all errors).
    """
    classes = range(len(labels))
    counts = np.mean(
        [confusion_matrix(target, array.argmax(axis=1), labels=classes) for array in probabilities],
        axis=0,
    )  # (C, C), rows true
    errors = counts.sum() - np.trace(counts)
    both = np.triu(counts + counts.T, k=1)
    order = np.argsort(-both, axis=None, kind="stable")[:top]
    rows = []
    for i, j in zip(*np.unravel_index(order, both.shape), strict=True):
        if both[i, j] > 0:
            ways = (float(both[i, j]), float(counts[i, j]), float(counts[j, i]))
            rows.append((labels[i], labels[j], *ways, float(both[i, j] / errors)))
    return pd.DataFrame(rows, columns=list(_PAIRS))


def _figures(predicted: np.ndarray, target: np.ndarray, classes: int) -> np.ndarray:
    """(3, C): precision, recall, F1."""
    hits = np.bincount(target[predicted == target], minlength=classes).astype(np.float64)
    said, true = (np.bincount(side, minlength=classes) for side in (predicted, target))
    return np.stack(
        [
            hits / np.maximum(said, 1),
            hits / np.maximum(true, 1),
            2 * hits / np.maximum(said + true, 1),
        ]
    )


def inference_cost_table(
    curves: pd.DataFrame,
    towers: Sequence[Mapping[str, Any]],
    trained: Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """Inference cost of each method beside its accuracy; the head's own cost is negligible.

    Args:
        curves: of `learning_curves`; end-to-end ones too where `trained` is given.
        towers: the first encoder and the additional ones: `name`, `parameters`, `ms_per_image`
            (over all views; None where not known).
        trained: the same of the encoder that is trained end to end, at its size and views.
    Returns: one row a method: `method`, `towers` (names), `parameters`, `ms_per_photograph`, and
        `top1_F` at each fraction F.
    """
    rows = []
    for method, points in curves.groupby("method", sort=True):
        asked = _encoders_of(str(method), towers, trained)
        known = [np.nan if t["ms_per_image"] is None else t["ms_per_image"] for t in asked]
        accuracy = {f"top1_{p.fraction:g}": p.top1_mean for p in points.itertuples()}
        rows.append(
            {
                "method": method,
                "towers": " + ".join(tower["name"] for tower in asked),
                "parameters": sum(tower["parameters"] for tower in asked),
                "ms_per_photograph": float(np.sum(known)),
                **accuracy,
            }
        )
    return pd.DataFrame(rows)


def _encoders_of(
    method: str, towers: Sequence[Mapping[str, Any]], trained: Mapping[str, Any] | None
) -> list[Mapping[str, Any]]:
    """The encoders that a method's predictor runs."""
    if method in METHODS:
        return list(towers if METHODS[method].space == "all_encoders" else towers[:1])
    if trained is None:
        raise ValueError(
            f"{method} is trained end to end, and the cost of its encoder is not given"
        )
    return [trained, *towers] if method == END_TO_END_ENSEMBLE else [trained]
