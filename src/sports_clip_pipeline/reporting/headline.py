"""The answer in one sentence, in a row of cards, and in a table beside published numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from sports_clip_pipeline.pipelines.report.config import Reference
from sports_clip_pipeline.reporting.blocks import INTERVAL, Card, Column, DataTable
from sports_clip_pipeline.reporting.labels import (
    count,
    fraction_name,
    interval,
    percent,
    uses_unlabelled,
)
from sports_clip_pipeline.reporting.results import StudyResults, chosen_point

HERE = "This study"
FEWEST, WITH_REST, ALL = "fewest_labels_top1", "fewest_labels_unlabelled_top1", "all_labels_top1"
_RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Headline:
    """The top of the page.

    Attributes:
        sentence: the answer.
        cards: the numbers it rests on.
        table: the numbers beside published ones.
        notes: footnotes, each beginning with the raised number that a column's head carries.
    """

    sentence: str
    cards: tuple[Card, ...]
    table: DataTable
    notes: tuple[str, ...]


def compose_headline(results: StudyResults) -> Headline:
    """Sentence, cards and table of a study."""
    points = _points(results)
    notes = tuple(dict.fromkeys(entry.note for entry in results.config.reference))
    return Headline(
        sentence=_sentence(results, points),
        cards=_cards(results, points),
        table=_table(results, points, notes),
        notes=tuple(f"{raised(n)} {note}" for n, note in enumerate(notes, start=1)),
    )


def at_fewest(curves: pd.DataFrame, arms: pd.DataFrame) -> tuple[pd.Series, pd.Series | None]:
    """The preferred methods with the fewest labels: on them alone, and with the rest unlabelled.

    The second is None where no method sees the rest; where all do, the first of the pair does too.
    """
    fewest = curves["fraction"].min()
    rows = curves[curves["fraction"] == fewest]
    wider = rows["method"].map(uses_unlabelled).astype(bool)
    if wider.all() or not wider.any():
        return chosen_point(rows, arms, fewest), None
    return chosen_point(rows[~wider], arms, fewest), chosen_point(rows[wider], arms, fewest)


def raised(number: int) -> str:
    """A whole number as a footnote mark."""
    return str(number).translate(_RAISED)


def _points(results: StudyResults) -> dict[str, pd.Series]:
    """What labels buy, by measure: with the fewest and with all; one point where that is one."""
    curves, shipped = results.finetune_curves, results.finetune_metrics["best_method"]
    arms = results.finetune_trials
    # With all labels the method is the one that was shipped, which broke ties by its log loss.
    of_shipped = results.curves[results.curves["method"] == shipped]
    every = {ALL: chosen_point(of_shipped, arms, curves["fraction"].max())}
    if curves["fraction"].nunique() == 1:
        return every
    few, more = at_fewest(curves, arms)
    return {FEWEST: few} | ({} if more is None else {WITH_REST: more}) | every


def _sentence(results: StudyResults, points: dict[str, pd.Series]) -> str:
    zero_shot, every = results.zero_shot_metrics, points[ALL]
    few = points.get(FEWEST, every)
    bought = f"With {count(few['labels'])} labelled photographs it is {percent(few['top1_mean'])}"
    if WITH_REST in points:
        bought += f" ({percent(points[WITH_REST]['top1_mean'])} with the rest unlabelled)"
    if FEWEST in points:
        bought += f", with {count(every['labels'])} it is {percent(every['top1_mean'])}"
    return (
        f"Without a single label the model names the right one of {len(zero_shot['classes'])} "
        f"classes in {percent(zero_shot['top1'])} of {count(results.evaluation_photographs)} "
        f"photographs. {bought}."
    )


def _cards(results: StudyResults, points: dict[str, pd.Series]) -> tuple[Card, ...]:
    zero_shot, retrieval = results.zero_shot_metrics, results.retrieval_metrics
    common = f"always the commonest class: {percent(zero_shot['majority'])}"
    return (
        Card("Zero-shot top-1", percent(zero_shot["top1"]), _bracket(zero_shot), "no labels"),
        Card("Chance", percent(zero_shot["chance"]), "", common),
        *(_point_card(results, point) for point in points.values()),
        Card(
            "Retrieval recall@5",
            percent(retrieval["t2i"]["r5"]),
            "",
            f"caption finds photograph among {count(retrieval['images'])}",
        ),
    )


def _point_card(results: StudyResults, point: pd.Series) -> Card:
    return Card(
        _point_words(point),
        percent(point["top1_mean"]),
        interval(point["top1_low"], point["top1_high"]),
        results.called(point["method"]),
    )


def _point_words(point: pd.Series) -> str:
    sees_rest = uses_unlabelled(point["method"]) and point["fraction"] < 1
    rest = ", the rest unlabelled" if sees_rest else ""
    return f"Top-1 with {fraction_name(point['fraction'])} of labels{rest}"


def _bracket(zero_shot: Any) -> str:
    return interval(*zero_shot["top1_ci95"]) if zero_shot.get("top1_ci95") else ""


def _table(
    results: StudyResults, points: dict[str, pd.Series], notes: tuple[str, ...]
) -> DataTable:
    """Rows of measures; a column for each place where numbers were published."""
    reference = results.config.reference
    places = tuple(dict.fromkeys(entry.label for entry in reference))
    published = {(entry.measure, entry.label): percent(entry.value) for entry in reference}
    rows = tuple(
        (label, number, spread, *(published.get((measure, place), "–") for place in places))
        for measure, label, number, spread in _measures(results, points)
    )
    heads = (
        Column("Measure", False),
        Column(HERE),
        Column(INTERVAL),
        *(Column(_marked(place, reference, notes)) for place in places),
    )
    return DataTable("Headline numbers", heads, rows)


def _marked(place: str, reference: tuple[Reference, ...], notes: tuple[str, ...]) -> str:
    """Where numbers were published, with the marks of its footnotes."""
    marks = dict.fromkeys(
        notes.index(entry.note) + 1 for entry in reference if entry.label == place
    )
    return place + " ".join(raised(mark) for mark in marks)


def _measures(
    results: StudyResults, points: dict[str, pd.Series]
) -> list[tuple[str, str, str, str]]:
    """Key of the measure, words, number, interval."""
    zero_shot, ways = results.zero_shot_metrics, results.retrieval_metrics
    spread = _bracket(zero_shot) or "–"
    rows = [
        ("zero_shot_top1", "Zero-shot top-1", percent(zero_shot["top1"]), spread),
        ("zero_shot_top5", "Zero-shot top-5", percent(zero_shot["top5"]), "–"),
        ("zero_shot_macro_f1", "Zero-shot macro F1", percent(zero_shot["macro_f1"]), "–"),
    ]
    for measure, point in points.items():
        words = _point_words(point)
        spread = interval(point["top1_low"], point["top1_high"])
        rows.append((measure, words, percent(point["top1_mean"]), spread))
    for measure, way, words in (
        ("retrieval_r5", "t2i", "Caption finds photograph, recall@5"),
        ("retrieval_i2t_r5", "i2t", "Photograph finds caption, recall@5"),
    ):
        rows.append((measure, words, percent(ways[way]["r5"]), "–"))
    return rows


def repair_sentence(results: StudyResults) -> str:
    """What fine-tuning mended and what it broke, photograph by photograph."""
    said = results.test_predictions
    before = said["zero_shot_label"] == said["label"]
    after = said["finetuned_label"] == said["label"]
    method = results.called(results.finetune_metrics["best_method"])
    return (
        f"The chosen classifier ({method}) is right on "
        f"{count((after & ~before).sum())} photographs that zero-shot got wrong, "
        f"and wrong on {count((before & ~after).sum())} that zero-shot got right; "
        f"{count((~before & ~after).sum())} defeat both."
    )
