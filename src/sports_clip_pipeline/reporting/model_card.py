"""The model card: what the classifier is, what it is for, how good, from what, under which terms.

Source: Mitchell et al. 2019, section 4, whose headings it follows as far as a run can fill them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from sports_clip_pipeline.encoders.weight_facts import weight_facts
from sports_clip_pipeline.pipelines.report.config import CorpusFacts, ModelCardConfig, ReportConfig
from sports_clip_pipeline.reporting.blocks import DataTable, table
from sports_clip_pipeline.reporting.labels import (
    class_name,
    count,
    fraction_name,
    method_name,
    percent,
)
from sports_clip_pipeline.reporting.model_card_tables import compute_table, towers_table


@dataclass(frozen=True)
class Chapter:
    """A heading with paragraphs, tables and points, in this order; each may be missing."""

    title: str
    paragraphs: tuple[str, ...] = ()
    points: tuple[str, ...] = ()
    tables: tuple[DataTable, ...] = ()


@dataclass(frozen=True)
class ModelCard:
    """The card of one study."""

    title: str
    chapters: tuple[Chapter, ...]


@dataclass(frozen=True)
class CardFacts:
    """What the card speaks of: two parameter blocks, and the datasets of these names."""

    report: ReportConfig
    model_card: ModelCardConfig
    zero_shot_metrics: Mapping[str, Any]
    finetune_metrics: Mapping[str, Any]
    finetune_trials: pd.DataFrame
    end_to_end_trials: pd.DataFrame
    calibration: pd.DataFrame
    pretrain_history: pd.DataFrame
    ingest_audit: Mapping[str, Any]
    tokenize_audit: Mapping[str, Any]
    embed_audit: Mapping[str, Any]
    provenance: Mapping[str, Any]


def compose_model_card(facts: CardFacts) -> ModelCard:
    """The card of the study's shipped classifier."""
    words = facts.model_card
    chapters = (
        Chapter("What it is", _what(facts)),
        Chapter("Intended use", points=words.intended_use),
        Chapter("Not for", points=words.not_for),
        Chapter("How good it is", _how_good(facts), tables=(_scores(facts),)),
        Chapter("Probabilities and doubt", _probabilities(facts.finetune_metrics)),
        Chapter("What was not measured", points=words.limits),
        Chapter("Data", _data(facts), _corpora(facts)),
        Chapter("Towers and their weights", tables=(_towers(facts),), points=_cautions(facts)),
        Chapter(
            "Compute used",
            tables=(
                compute_table(
                    facts.finetune_trials, facts.end_to_end_trials, _circumstances(facts)
                ),
            ),
        ),
    )
    return ModelCard(f"Model card of the study {facts.report.study}", chapters)


def _what(facts: CardFacts) -> tuple[str, ...]:
    metrics, origin = facts.finetune_metrics, facts.finetune_metrics["origin"]
    towers = metrics["towers"]
    # A tower that the study trained stands before the frozen one of the same name.
    apart = towers[0] in towers[1:]
    named = " + ".join(f"{name} (trained here)" if apart and not n else name
                       for n, name in enumerate(towers))  # fmt: skip
    classes = ", ".join(class_name(label) for label in metrics["classes"])
    method = method_name(origin["method"], facts.report.methods)
    return (
        f"A classifier of photographs. Method: {method}. It reads the pooled features of {named} "
        f"and was fitted on {count(origin['labels'])} labelled photographs, "
        f"{fraction_name(origin['fraction'])} of the development labels.",
        f"Its {len(metrics['classes'])} classes: {classes}.",
        _clip_sentence(facts),
    )


def _clip_sentence(facts: CardFacts) -> str:
    towers = f"{facts.embed_audit['image_encoder']} and {facts.embed_audit['text_encoder']}"
    history = facts.pretrain_history
    if history.empty:
        return f"Beside it stands a CLIP model of {towers}, used as it came."
    unlocked = "towers" in history and (history["towers"] == "unlocked").any()
    what = "projections and the last blocks of the towers" if unlocked else "projections"
    return (
        f"Beside it stands a CLIP model of {towers}, whose {what} were trained here for "
        f"{count(len(history))} epochs on captioned photographs; it gives the zero-shot answers."
    )


def _how_good(facts: CardFacts) -> tuple[str, ...]:
    per_class = facts.finetune_metrics["per_class"]
    worst = min(per_class, key=lambda label: float(per_class[label]["f1"]))
    photographs = sum(int(scores["support"]) for scores in per_class.values())
    return (
        f"On {count(photographs)} evaluation photographs that chose nothing. Hardest is "
        f"{class_name(worst)}: recall {percent(per_class[worst]['recall'])}, precision "
        f"{percent(per_class[worst]['precision'])} on {count(per_class[worst]['support'])} "
        "photographs.",
    )


def _scores(facts: CardFacts) -> DataTable:
    before, after = facts.zero_shot_metrics, facts.finetune_metrics
    rows: list[tuple[str, ...]] = [
        (words, percent(before[key]), percent(after[key]))
        for key, words in (("top1", "Top-1"), ("top5", "Top-5"), ("macro_f1", "Macro F1"))
    ]
    origin, calibration = after["origin"], facts.calibration
    errors = (
        _calibration_error(calibration, "zero_shot", 0.0),
        _calibration_error(calibration, origin["method"], origin["fraction"]),
    )
    heads = ("Measure", "Zero-shot", "This classifier")
    rows.append(("Calibration error", *errors))
    return table("Accuracy on the evaluation photographs", heads, rows)


def _calibration_error(calibration: pd.DataFrame, method: str, fraction: float) -> str:
    """Expected calibration error over bins of equal size; a dash where it was not measured."""
    if calibration.empty:
        return "–"
    same = (calibration["method"] == method) & (calibration["fraction"] == fraction)
    found = calibration.loc[same, "ece_equal_mass"]
    return "–" if found.empty else percent(float(found.iloc[0]))


def _probabilities(metrics: Mapping[str, Any]) -> tuple[str, ...]:
    classes, threshold = len(metrics["classes"]), metrics["threshold"]
    refuses = (
        f"It has no answer for “none of these”: whatever a picture shows, it names one of its "
        f"{classes} classes."
        if threshold is None
        else f"Where its surest class is less probable than {percent(threshold)}, its answer is "
        "“none of these”. That limit comes from labelled photographs held out inside the "
        f"development part; a picture of something else may still be put into one of the {classes} "
        "classes."
    )
    return (
        f"Logits are divided by a temperature of {metrics['temperature']:.2f} before the softmax; "
        "it comes from labelled photographs held out inside the development part, and 1 changes "
        "nothing. Probabilities mean what they say for photographs like those of the corpus alone.",
        refuses,
    )


def _data(facts: CardFacts) -> tuple[str, ...]:
    audit = facts.ingest_audit
    parts, duplicates = audit["parts"], audit["duplicates"]
    unlabelled = parts.get("unlabelled", 0)
    return (
        f"{count(parts['development'])} labelled photographs to learn and to choose from, "
        f"{count(parts['evaluation'])} to judge by, {count(unlabelled)} without a "
        f"label that only get answers. {count(audit['quarantine']['total'])} files were set aside; "
        f"{count(duplicates['images'])} photographs stand in {count(duplicates['groups'])} groups "
        "of duplicates, none of which lies in two parts. "
        f"Digest of the data: {audit['data_digest'][:12]}….",
    )


def _corpora(facts: CardFacts) -> tuple[str, ...]:
    totals, study = facts.ingest_audit["images"], facts.report.study
    captions = count(facts.tokenize_audit["captions"])
    known = facts.model_card.corpora.get(study) or {
        "flickr8k": _unrecorded("The captioned corpus", study),
        "sports": _unrecorded("The labelled corpus", study),
    }
    holds = {"flickr8k": f"with {captions} captions", "sports": "of the classes above"}
    return tuple(
        f"{corpus.name}: {count(totals[key]['total'])} photographs {holds[key]}. {corpus.licence}"
        for key, corpus in known.items()
    )


def _unrecorded(name: str, study: str) -> CorpusFacts:
    where = f"model_card.corpora.{study} in conf/base/parameters_report.yml can say it"
    return CorpusFacts(name=name, licence=f"Its licence is not recorded: {where}.")


def _towers(facts: CardFacts) -> DataTable:
    audit = facts.embed_audit
    return towers_table(audit["towers"], audit["text_encoder"], audit["weights_sha256"]["text"])


def _cautions(facts: CardFacts) -> tuple[str, ...]:
    audit = facts.embed_audit
    names = [*(tower["name"] for tower in audit["towers"]), audit["text_encoder"]]
    cautions = (weight_facts(name).caution for name in names)
    return tuple(dict.fromkeys(caution for caution in cautions if caution))


def _circumstances(facts: CardFacts) -> dict[str, str]:
    """What else took time, and where."""
    audit, history, made = facts.embed_audit, facts.pretrain_history, facts.provenance
    price = sum(float(tower["ms_per_image"]) for tower in audit["towers"])
    epochs = {} if history.empty else {
        "Pretraining": f"{count(len(history))} epochs at "
        f"{count(history['pairs_per_s'].median())} pairs a second",
    }  # fmt: skip
    return {
        "Features": f"{price:.0f} ms of one core a photograph, all image towers and views",
        **epochs,
        "Machine": str(made["device"]),
        "Commit": f"{made['commit']}{' with local changes' if made.get('dirty') else ''}",
    }
