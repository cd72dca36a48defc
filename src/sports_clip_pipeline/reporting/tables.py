"""The figures in numbers: a table for each, which screen readers and paper can use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from sports_clip_pipeline.reporting.blocks import INTERVAL, Column, DataTable, table
from sports_clip_pipeline.reporting.figures.training import DIRECTIONS, RANKS
from sports_clip_pipeline.reporting.frames import records, tallies
from sports_clip_pipeline.reporting.labels import (
    class_name,
    count,
    fraction_name,
    interval,
    percent,
    points,
)
from sports_clip_pipeline.reporting.results import SPLITS, StudyResults

SCORES = {"precision": "Precision", "recall": "Recall", "f1": "F1"}


def learning_tables(results: StudyResults) -> tuple[DataTable, ...]:
    """One row a method and fraction; the methods that train through the tower apart."""
    found = [learning_table(results, results.finetune_curves, "on frozen towers")]
    if not results.judged.end_to_end_curves.empty:
        found.append(
            learning_table(results, results.judged.end_to_end_curves, "through the pixels")
        )
    return tuple(found)


def learning_table(results: StudyResults, curves: pd.DataFrame, kind: str) -> DataTable:
    """One row a method and fraction of `curves`."""
    rows = [
        (
            results.called(row["method"]),
            fraction_name(row["fraction"]),
            count(row["labels"]),
            count(len(row["seeds"])),
            percent(row["top1_mean"]),
            interval(row["top1_low"], row["top1_high"]),
            percent(row["macro_f1_mean"]),
        )
        for row in records(curves)
    ]
    heads = ("Method", "Labels used", "Photographs", "Seeds", "Top-1", INTERVAL, "Macro F1")
    return table(f"Accuracy by method and share of labels, {kind}", heads, rows)


def training_table(history: pd.DataFrame) -> DataTable:
    """One row an epoch."""
    rows = [
        (
            count(row["epoch"]),
            f"{row['loss']:.3f}",
            f"{row['lr']:.2e}",
            f"{row['logit_scale']:.2f}",
            percent(row["validation_t2i_r5"]),
            percent(row["validation_i2t_r5"]),
        )
        for row in records(history)
    ]
    heads = (
        "Epoch",
        "Loss",
        "Learning rate",
        "Logit scale",
        "Text to image R@5",
        "Image to text R@5",
    )
    return table("Pretraining by epoch", heads, rows)


def retrieval_table(retrieval: Mapping[str, Any]) -> DataTable:
    """One row a direction."""
    rows = [
        (name, *(percent(retrieval[way][rank]) for rank in RANKS))
        for way, name in DIRECTIONS.items()
    ]
    return table("Recall on the test split", ("Direction", "R@1", "R@5", "R@10"), rows)


def per_class_table(
    zero_shot: Mapping[str, Mapping[str, float]], finetuned: Mapping[str, Mapping[str, float]]
) -> DataTable:
    """One row a class, in the order of the configuration; readers may sort it."""
    rows = []
    for label, after in finetuned.items():
        before = zero_shot[label]
        gain = points(float(after["f1"]) - float(before["f1"]))
        shares = [percent(scores[name]) for scores in (before, after) for name in SCORES]
        rows.append((class_name(label), count(after["support"]), *shares, gain))
    measures = [
        Column(words, group=group)
        for group in ("Zero-shot", "Fine-tuned")
        for words in SCORES.values()
    ]
    heads = (Column("Class", False), Column("Photographs"), *measures, Column("F1 gained"))
    return DataTable("Each class, zero-shot and fine-tuned", heads, tuple(rows), sortable=True)


def confusion_table(classes: Sequence[str], confusion: Sequence[Sequence[int]]) -> DataTable:
    """All counts; rows are true classes."""
    names = [class_name(label) for label in classes]
    rows = [
        (name, *(count(n) for n in counts)) for name, counts in zip(names, confusion, strict=True)
    ]
    return table("Counts; rows are true classes", ("True class", *names), rows)


def confused_table(
    classes: Sequence[str], confusion: Sequence[Sequence[int]], most: int
) -> DataTable:
    """The pairs of a true class and another that was named instead, most frequent first."""
    pairs = [
        (int(n), true, said, sum(row))
        for true, row in zip(classes, confusion, strict=True)
        for said, n in zip(classes, row, strict=True)
        if said != true and n > 0
    ]
    pairs.sort(key=lambda pair: (-pair[0], pair[1], pair[2]))
    rows = [
        (class_name(true), class_name(said), count(n), percent(n / total))
        for n, true, said, total in pairs[:most]
    ]
    heads = ("True class", "Named as", "Photographs", "Of the class")
    return table("Most confused", heads, rows, texts=2)


def numbers_table(caption: str, heads: tuple[str, str], numbers: Mapping[str, int]) -> DataTable:
    """Two columns: words and counts, in the order given."""
    return table(caption, heads, [(name, count(n)) for name, n in numbers.items()])


def mentions_table(tokenize_audit: Mapping[str, Any]) -> DataTable:
    """Captions that mention each class, a column for each split."""
    mentions = tokenize_audit["mentions"]
    found = {split for by_split in mentions.values() for split in by_split}
    splits = [split for split in SPLITS if split in found]
    rows = [
        (class_name(label), *(count(by_split.get(split, 0)) for split in splits))
        for label, by_split in mentions.items()
    ]
    return table("Captions that mention each class", ("Class", *splits), rows)


def quarantine_table(quarantine: pd.DataFrame) -> DataTable:
    """Files set aside, by corpus and reason."""
    groups = tallies(quarantine, ["reason", "corpus"])
    rows = [(reason.replace("_", " "), corpus, count(n)) for (reason, corpus), n in groups]
    return table("Files set aside", ("Reason", "Corpus", "Files"), rows, texts=2)


def duplicates_table(duplicates: pd.DataFrame) -> DataTable:
    """Members of duplicate groups, by kind and by what was done."""
    rows = [(*words, count(n)) for words, n in tallies(duplicates, ["kind", "action", "corpus"])]
    heads = ("Kind", "What was done", "Corpus", "Photographs")
    return table("Members of duplicate groups", heads, rows, texts=3)


def provenance_tables(results: StudyResults) -> tuple[DataTable, DataTable]:
    """How it was made: facts of the run, and versions."""
    made = results.provenance
    dirty = " with local changes" if made.get("dirty") else ""
    facts = {
        "Study": made["study"],
        "Commit": f"{made['commit']}{dirty}",
        "Data digest": made["data_digest"],
        "Seeds": ", ".join(str(seed) for seed in made["seeds"]),
        "Machine": made["device"],
        **{f"{kind.capitalize()} tower": words for kind, words in made["towers"].items()},
    }
    versions = list(made["versions"].items())
    return (
        table("The run", ("What", "Value"), list(facts.items()), texts=2),
        table("Versions", ("Package", "Version"), versions, texts=2),
    )
