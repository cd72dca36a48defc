"""Headline of the page: the answer as a sentence, key numbers, and a table with published ones."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from sports_clip_pipeline.evaluation.bootstrap import best_by_cross_validation
from sports_clip_pipeline.evaluation.evaluation_log import summarise_evaluations
from sports_clip_pipeline.report import formatting as fmt
from sports_clip_pipeline.report.method_styles import uses_unlabelled
from sports_clip_pipeline.report.sections import DataTable, StudyResults

FEWEST, WITH_REST, ALL = "fewest_labels_top1", "fewest_labels_unlabelled_top1", "all_labels_top1"
_SUPERSCRIPT = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


KeyNumber = tuple[str, str, str, str]
"""A headline number: its label, the number, its interval, and a remark."""


@dataclass(frozen=True)
class Headline:
    """The top of the page: the answer, its numbers, the recommendation and published numbers.

    `notes` are footnotes, each beginning with the superscript number in a column's header.
    """

    sentence: str
    numbers: tuple[KeyNumber, ...]
    advice: tuple[str, ...]
    table: DataTable
    notes: tuple[str, ...]
    evaluations: str


def compose_headline(study: StudyResults) -> Headline:
    """The headline of a study."""
    points = _headline_points(study)
    notes = list(dict.fromkeys(entry.note for entry in study.config.reference))
    log = study.evaluation_log
    return Headline(
        sentence=_sentence(study, points),
        numbers=_key_numbers(study, points),
        advice=tuple(study.recommendation.get("paragraphs", ())),
        table=_table(study, points, notes),
        notes=tuple(f"{superscript(n)} {note}" for n, note in enumerate(notes, start=1)),
        evaluations=summarise_evaluations(log) if log else "",
    )


def superscript(number: int) -> str:
    """An integer in superscript digits."""
    return str(number).translate(_SUPERSCRIPT)


def preferred_point(curves: pd.DataFrame, trials: pd.DataFrame, fraction: float) -> pd.Series:
    """The point of a learning curve at a label fraction whose method cross-validation prefers.

    The first name where no trial has a cross-validation score: the test images never choose.

    Args:
        curves: `method`, `fraction`, ... trials: `method`, `fraction`, `cv_top1` (share, or NaN).
        fraction: one of `curves`.
    """
    rows = curves[curves["fraction"] == fraction].set_index("method", drop=False).sort_index()
    own = trials[trials["method"].isin(rows.index)]
    best: Any = best_by_cross_validation(own, fraction) or rows.index[0]
    return rows.loc[best]


def _headline_points(study: StudyResults) -> dict[str, pd.Series]:
    """Points of the learning curves by measure: with the fewest labels and with all of them.

    With the fewest labels, semi-supervised methods are reported apart if only some methods are.
    With all labels it is the exported method.
    """
    curves, trials = study.finetune_curves, study.finetune_trials
    every = pd.concat([table for table in (curves, study.end_to_end_curves) if not table.empty])
    exported = every[every["method"] == study.best_method]
    fewest, most = curves["fraction"].min(), curves["fraction"].max()
    rows = curves[curves["fraction"] == fewest]
    semi = rows["method"].map(uses_unlabelled).astype(bool)
    groups = {FEWEST: rows[~semi], WITH_REST: rows[semi]} if semi.nunique() == 2 else {FEWEST: rows}
    points = {name: preferred_point(group, trials, fewest) for name, group in groups.items()}
    return {**(points if fewest < most else {}), ALL: preferred_point(exported, trials, most)}


def _sentence(study: StudyResults, points: dict[str, pd.Series]) -> str:
    top1 = {measure: fmt.percent(point["top1_mean"]) for measure, point in points.items()}
    labels = {measure: fmt.count(point["labels"]) for measure, point in points.items()}
    few = FEWEST if FEWEST in points else ALL
    rest = f" ({top1[WITH_REST]} with the rest unlabelled)" if WITH_REST in points else ""
    every = f", with {labels[ALL]} it is {top1[ALL]}" if few != ALL else ""
    images, zero_shot = fmt.count(len(study.test_predictions)), study.zero_shot_metrics
    return (
        f"Zero-shot, without any label, top-1 accuracy over {len(zero_shot['classes'])} "
        f"classes is {fmt.percent(zero_shot['top1'])} on {images} test images. "
        f"With {labels[few]} labelled images it is {top1[few]}{rest}{every}."
    )


def _point_name(point: pd.Series) -> str:
    semi = uses_unlabelled(point["method"]) and point["fraction"] < 1
    rest = ", the rest unlabelled" if semi else ""
    return f"Top-1 with {fmt.fraction_name(point['fraction'])} of labels{rest}"


def _key_numbers(study: StudyResults, points: dict[str, pd.Series]) -> tuple[KeyNumber, ...]:
    zero_shot, retrieval = study.zero_shot_metrics, study.retrieval_metrics
    interval = fmt.interval(*zero_shot["top1_ci95"])
    majority = f"always the most frequent class: {fmt.percent(zero_shot['majority'])}"
    found = f"caption finds its image among {fmt.count(retrieval['images'])}"
    return (
        ("Zero-shot top-1", fmt.percent(zero_shot["top1"]), interval, "no labels"),
        ("Chance", fmt.percent(zero_shot["chance"]), "", majority),
        *(
            (
                _point_name(point),
                fmt.percent(point["top1_mean"]),
                fmt.point_interval(point),
                study.name(point["method"]),
            )
            for point in points.values()
        ),
        ("Retrieval recall@5", fmt.percent(retrieval["t2i"]["r5"]), "", found),
    )


def _table(study: StudyResults, points: Mapping[str, Any], notes: list[str]) -> DataTable:
    """A row for each measure, a column for each publication."""
    zero_shot, retrieval = study.zero_shot_metrics, study.retrieval_metrics
    reference = study.config.reference
    interval = fmt.interval(*zero_shot["top1_ci95"])
    measures = [
        ("zero_shot_top1", "Zero-shot top-1", zero_shot["top1"], interval),
        ("zero_shot_top5", "Zero-shot top-5", zero_shot["top5"], "–"),
        ("zero_shot_macro_f1", "Zero-shot macro F1", zero_shot["macro_f1"], "–"),
        *(
            (measure, _point_name(point), point["top1_mean"], fmt.point_interval(point))
            for measure, point in points.items()
        ),
        ("retrieval_r5", "Caption finds image, recall@5", retrieval["t2i"]["r5"], "–"),
        ("retrieval_i2t_r5", "Image finds caption, recall@5", retrieval["i2t"]["r5"], "–"),
    ]
    published = {(entry.label, entry.measure): fmt.percent(entry.value) for entry in reference}
    marks: dict[str, dict[str, None]] = {}
    for entry in reference:
        marks.setdefault(entry.label, {})[superscript(notes.index(entry.note) + 1)] = None
    rows = [
        (name, fmt.percent(value), spread, *(published.get((label, key), "–") for label in marks))
        for key, name, value, spread in measures
    ]
    labels = (label + " ".join(numbers) for label, numbers in marks.items())
    return DataTable("Headline numbers", ("Measure", "This study", fmt.INTERVAL, *labels), rows)
