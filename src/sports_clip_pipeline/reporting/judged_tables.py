"""The tables that judge the study, in ready-made texts."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from sports_clip_pipeline.reporting.blocks import INTERVAL, Cell, DataTable, table
from sports_clip_pipeline.reporting.figures.comparison import p_value
from sports_clip_pipeline.reporting.figures.gains import recall_by_fraction, stage_name
from sports_clip_pipeline.reporting.figures.judged import TOP1, by_price
from sports_clip_pipeline.reporting.frames import by_fraction, records
from sports_clip_pipeline.reporting.labels import (
    class_name,
    count,
    fraction_name,
    interval,
    number,
    percent,
    points,
)

Called = Callable[[str], str]


def _three(value: float) -> str:
    return f"{value:.3f}"


MEASURES: Mapping[str, tuple[str, Callable[[float], str]]] = {
    "top1": ("Top-1", percent),
    "confidence": ("Mean confidence", percent),
    "ece_equal_width": ("Calibration error, equal width", percent),
    "ece_equal_mass": ("Calibration error, equal mass", percent),
    "ece": ("Calibration error", percent),
    "brier": ("Brier score", _three),
}
"""Measures of calibration by column: words, and how they are written."""


def needed_table(labels_needed: pd.DataFrame, methods: Sequence[str], called: Called) -> DataTable:
    """Labels needed, a row a method and a column an accuracy to reach.

    Args:
        methods: the rows, as far as the table has them.
    """
    targets = sorted(set(labels_needed["target"]))
    cells = {(row["method"], row["target"]): row for row in records(labels_needed)}
    known = [method for method in methods if any((method, t) in cells for t in targets)]
    rows = [
        (called(method), *(needed_cell(cells.get((method, t))) for t in targets))
        for method in known
    ]
    heads = ("Method", *(fraction_name(target) for target in targets))
    return table("Labelled photographs needed to reach an accuracy", heads, rows)


def needed_cell(row: Mapping[str, Any] | None) -> str | Cell:
    """Labels needed with their interval; whether they are a guess; or why there is no number."""
    if row is None:
        return "–"
    if row["kind"] == "measured below":
        return Cell(f"≤ {number(row['labels'])}", "fewest measured")
    spread = _spread(row["low"], row["high"])
    if not math.isfinite(row["labels"]):
        return Cell("out of reach", spread if math.isfinite(row["low"]) else "")
    if row["kind"] == "extrapolated":
        return Cell(f"≈ {number(row['labels'])}", f"extrapolated, {spread}")
    return Cell(number(row["labels"]), spread)


def _spread(low: float, high: float) -> str:
    return f"{number(low)}–{number(high)}" if math.isfinite(high) else f"{number(low)} or more"


def every_needed_table(labels_needed: pd.DataFrame, called: Called) -> DataTable:
    """Labels needed by every method, a row a method and accuracy."""
    rows = [
        (
            called(row["method"]),
            fraction_name(row["target"]),
            number(row["labels"]),
            _spread(row["low"], row["high"]) if math.isfinite(row["low"]) else "–",
            row["kind"],
        )
        for row in records(labels_needed.sort_values(["target", "labels", "method"]))
    ]
    heads = ("Method", "Accuracy", "Photographs", INTERVAL, "How known")
    return table("Labels needed, every method", heads, rows)


def paired_table(paired: pd.DataFrame, called: Called) -> DataTable:
    """One row a comparison."""
    rows = [
        (
            called(row["method"]),
            "zero-shot" if row["role"] == "zero_shot" else called(row["against"]),
            fraction_name(row["fraction"]),
            count(row["seeds"]),
            points(row["difference"]),
            f"{points(row['low'])} to {points(row['high'])}",
            p_value(row["p_value"]),
            p_value(row["p_holm"]),
        )
        for row in records(paired.sort_values(["role", "fraction", "difference"]))
    ]
    heads = ("Method", "Against", "Labels used", "Seeds", "Points", INTERVAL, "p", "p after Holm")
    return table("Paired comparisons", heads, rows, texts=2)


def calibration_table(calibration: pd.DataFrame, called: Called) -> DataTable:
    """One row a method and share of the labels, with the measures that there are."""
    measures = {name: words for name, words in MEASURES.items() if name in calibration}
    rows = [
        (
            called(row["method"]) if row["fraction"] > 0 else "Zero-shot",
            stage_name(row["fraction"]),
            *(write(float(row[name])) for name, (_, write) in measures.items()),
        )
        for row in records(calibration)
    ]
    heads = ("Method", "Labels used", *(words for words, _ in measures.values()))
    return table("Calibration on the evaluation photographs", heads, rows)


def reliability_table(reliability: pd.DataFrame, called: Called) -> DataTable:
    """One row a bin."""
    rows = [
        (
            called(row["method"]) if row["fraction"] > 0 else "Zero-shot",
            stage_name(row["fraction"]),
            percent(row["confidence"]),
            percent(row["accuracy"]),
            count(row["photographs"]),
        )
        for row in records(reliability)
    ]
    heads = ("Method", "Labels used", "Said to be right", "Was right", "Answers")
    return table("Reliability, bin by bin", heads, rows)


def gains_table(class_gains: pd.DataFrame) -> DataTable:
    """Recall of each class by share of the labels."""
    recalls = recall_by_fraction(class_gains)
    rows = [
        (class_name(str(label)), *map(percent, shares))
        for label, shares in zip(recalls.index, recalls.to_numpy(), strict=True)
    ]
    heads = ("Class", *(stage_name(float(fraction)) for fraction in recalls.columns))
    return table("Recall by share of the labels", heads, rows)


def pairs_table(confusion_pairs: pd.DataFrame, most: int) -> DataTable:
    """The classes that are taken for each other most often."""
    rows = [
        (
            class_name(row["first"]),
            class_name(row["second"]),
            tenths(row["photographs"]),
            tenths(row["first_as_second"]),
            tenths(row["second_as_first"]),
            percent(row["share"]),
        )
        for row in records(confusion_pairs.head(most))
    ]
    heads = ("Class", "And", "Photographs", "First as second", "Second as first", "Of all errors")
    return table("Classes taken for each other", heads, rows, texts=2)


def tenths(mean: float) -> str:
    """A mean of counts: whole where it is whole, else with one digit."""
    return count(mean) if float(mean).is_integer() else f"{mean:,.1f}"


def price_table(price: pd.DataFrame, called: Called) -> DataTable:
    """Accuracy beside what it costs, cheapest first."""
    found = by_fraction(price, TOP1)
    rows = [
        (
            str(row["towers"]),
            called(row["method"]),
            f"{row['parameters'] / 1e6:.1f} M",
            "–" if pd.isna(row["ms_per_photograph"]) else f"{row['ms_per_photograph']:.1f}",
            *(percent(row[column]) for column in found.values()),
        )
        for row in records(by_price(price))
    ]
    heads = ("Towers", "Method", "Parameters", "ms a photograph", *map(fraction_name, found))
    return table("Top-1 by share of the labels, beside its price", heads, rows, texts=2)


def ablation_table(ablation: pd.DataFrame) -> DataTable:
    """One row a variant of zero-shot; what changed stands under its name."""
    rows = [
        (
            Cell(row["name"][:1].upper() + row["name"][1:], row["changed"]),
            row["chosen_on"],
            percent(row["top1"]),
            interval(row["low"], row["high"]),
        )
        for row in records(ablation)
    ]
    return table("Variants of zero-shot", ("Variant", "Chosen on", "Top-1", INTERVAL), rows, 2)


def transduction_table(transduction: pd.DataFrame, called: Called) -> DataTable:
    """One row a method and the photographs that it groups."""
    rows = [
        (
            called(row["method"]),
            row["split"],
            row["prior"],
            percent(row["top1"]),
            interval(row["low"], row["high"]),
        )
        for row in records(transduction)
    ]
    heads = ("Method", "Photographs without labels", "Prior assumed", "Top-1", INTERVAL)
    return table("Zero-shot with photographs without labels", heads, rows, texts=3)
