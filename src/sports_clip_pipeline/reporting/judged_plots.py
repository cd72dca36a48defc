"""The figures that judge the study, with their words and tables, where there are data."""

from __future__ import annotations

import pandas as pd

from sports_clip_pipeline.reporting import judged_tables as tables
from sports_clip_pipeline.reporting.blocks import DataTable, Plot
from sports_clip_pipeline.reporting.figures.gains import recall_by_fraction
from sports_clip_pipeline.reporting.labels import class_name, points
from sports_clip_pipeline.reporting.results import StudyResults


def compose_judged_plots(results: StudyResults) -> tuple[Plot, ...]:
    """The figures of the judgement that there are, named as their datasets."""
    plots = (_paired, _price, _ablation, _gains, _reliability)
    return tuple(plot for make in plots if (plot := make(results)) is not None)


def _plot(
    results: StudyResults, name: str, title: str, summary: str, *shown: DataTable
) -> Plot | None:
    figure = results.figures.get(name)
    if figure is None or not figure.data:
        return None
    return Plot(name=name, title=title, summary=summary, figure=figure, tables=shown)


def _paired(results: StudyResults) -> Plot | None:
    paired = results.judged.paired_comparisons
    if paired.empty:
        return None
    return _plot(
        results,
        "paired_figure",
        "Method against method",
        "Differences on the same photographs and seeds to the method that validation prefers at "
        "each share of the labels. Filled points differ after Holm’s correction with an interval "
        "that leaves zero out; hollow ones cannot be told apart.",
        tables.paired_table(paired, results.called),
    )


def _price(results: StudyResults) -> Plot | None:
    price = results.judged.price
    if price.empty:
        return None
    return _plot(
        results,
        "inference_cost_figure",
        "Accuracy beside its price",
        "Milliseconds are for one photograph through the towers on this machine; each row's "
        "method was chosen by validation.",
        tables.price_table(price, results.called),
    )


def _ablation(results: StudyResults) -> Plot | None:
    ablation = results.judged.ablation
    if ablation.empty:
        return None
    places = ", ".join(dict.fromkeys(ablation["chosen_on"]))
    return _plot(
        results,
        "ablation_figure",
        "What each part of zero-shot is worth",
        "Top-1 on the evaluation photographs; whiskers are 95 % intervals. "
        f"Where settings come from: {places}.",
        tables.ablation_table(ablation),
    )


def _gains(results: StudyResults) -> Plot | None:
    gains = results.judged.class_gains
    if gains.empty:
        return None
    return _plot(
        results,
        "class_gains_figure",
        "Recall of each class, from no labels to all",
        "In percent of the class’s evaluation photographs, classes that gained most on top. "
        + _ends(gains),
        tables.gains_table(gains),
    )


def _ends(gains: pd.DataFrame) -> str:
    recalls = recall_by_fraction(gains)
    first, last = recalls.iloc[:, 0], recalls.iloc[:, -1]
    most, least = str(recalls.index[0]), str(recalls.index[-1])
    return (
        f"The largest gain is {class_name(most)}’s ({points(last[most] - first[most])} points), "
        f"the smallest {class_name(least)}’s ({points(last[least] - first[least])})."
    )


def _reliability(results: StudyResults) -> Plot | None:
    judged = results.judged
    if judged.reliability.empty:
        return None
    found = [tables.reliability_table(judged.reliability, results.called)]
    if not judged.calibration.empty:
        found.insert(0, tables.calibration_table(judged.calibration, results.called))
    return _plot(
        results,
        "reliability_figure",
        "Are 80 % sure answers right in 80 %?",
        f"On the diagonal confidence is honest; below it answers are too sure.{_error(results)}",
        *found,
    )


def _error(results: StudyResults) -> str:
    """The calibration error of the shipped method, where it was measured."""
    table, shipped = results.judged.calibration, results.finetune_metrics["best_method"]
    column = next((name for name in ("ece_equal_mass", "ece") if name in table), None)
    own = table[table["method"] == shipped] if column else table
    if column is None or own.empty:
        return ""
    error = own.sort_values("fraction")[column].iloc[-1]
    return f" {results.called(shipped)} is off by {100 * error:.1f} points on average."
