"""Model card of the exported classifier: use, accuracy, data, weights, licences, compute.

Source: Mitchell et al. 2019, section 4, whose headings it follows as far as a run can fill them.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from sports_clip_pipeline.encoders.weights import weight_facts
from sports_clip_pipeline.pipelines.report.config import CorpusFacts
from sports_clip_pipeline.report import formatting as fmt
from sports_clip_pipeline.report.data_sections import commit_name
from sports_clip_pipeline.report.sections import DataTable, StudyResults

_MARKDOWN = re.compile(r"([\\`*_\[\]<>|])")


@dataclass(frozen=True)
class Chapter:
    """A heading with paragraphs, tables and list items, in this order; each may be missing."""

    title: str
    paragraphs: tuple[str, ...] = ()
    items: tuple[str, ...] = ()
    tables: tuple[DataTable, ...] = ()


@dataclass(frozen=True)
class ModelCard:
    """The model card of one study."""

    title: str
    chapters: tuple[Chapter, ...]


def compose_model_card(study: StudyResults) -> ModelCard:
    """The model card of the study's exported classifier."""
    config, data = study.model_card, (_splits(study.ingest_audit),)
    chapters = (
        Chapter("What it is", _description(study)),
        Chapter("Intended use", items=config.intended_use),
        Chapter("Not for", items=config.not_for),
        Chapter(
            "Accuracy", (_hardest_class(study.finetune_metrics),), tables=(_accuracy_table(study),)
        ),
        Chapter("Probabilities and abstention", _probabilities(study.finetune_metrics)),
        Chapter("What was not measured", items=config.limits),
        Chapter("Data", data, _corpora(study)),
        _encoders_chapter(study.embed_audit),
        Chapter("Compute used", tables=(compute_table(study),)),
    )
    return ModelCard(f"Model card of the study {study.config.study}", chapters)


def _description(study: StudyResults) -> tuple[str, ...]:
    metrics, origin = study.finetune_metrics, study.finetune_metrics["origin"]
    first, *rest = metrics["encoders"]
    # An encoder that the study trained comes before the frozen one of the same name.
    encoders = " + ".join([f"{first} (trained here)" if first in rest else first, *rest])
    classes = ", ".join(fmt.class_name(label) for label in metrics["classes"])
    method = study.name(origin["method"])
    return (
        f"An image classifier. Method: {method}. It uses the pooled features of {encoders} "
        f"and was fitted on {fmt.count(origin['labels'])} labelled images, "
        f"{fmt.fraction_name(origin['fraction'])} of the development labels.",
        f"Its {len(metrics['classes'])} classes: {classes}.",
        _clip_sentence(study.embed_audit, study.pretrain_history),
    )


def _clip_sentence(audit: Mapping[str, Any], history: pd.DataFrame) -> str:
    encoders = f"{audit['image_encoder']} and {audit['text_encoder']}"
    if history.empty:
        return f"The study also has a CLIP model of {encoders}, with its published weights."
    unlocked = "encoders" in history and (history["encoders"] == "unlocked").any()
    what = "projections and the last blocks of the encoders" if unlocked else "projections"
    return (
        f"The study also has a CLIP model of {encoders}, whose {what} were trained here for "
        f"{fmt.count(len(history))} epochs on captioned images; it gives the zero-shot predictions."
    )


def _hardest_class(finetuned: Mapping[str, Any]) -> str:
    per_class = finetuned["per_class"]
    worst = min(per_class, key=lambda label: float(per_class[label]["f1"]))
    images = sum(int(scores["support"]) for scores in per_class.values())
    scores = per_class[worst]
    return (
        f"On {fmt.count(images)} test images, on which nothing was chosen. The class of lowest F1 "
        f"is {fmt.class_name(worst)}: recall {fmt.percent(scores['recall'])}, precision "
        f"{fmt.percent(scores['precision'])} on {fmt.count(scores['support'])} images."
    )


def _accuracy_table(study: StudyResults) -> DataTable:
    before, after, origin = (
        study.zero_shot_metrics,
        study.finetune_metrics,
        study.finetune_metrics["origin"],
    )
    names = {"top1": "Top-1", "top5": "Top-5", "macro_f1": "Macro F1"}
    rows: list[tuple[str, ...]] = [
        (name, fmt.percent(before[key]), fmt.percent(after[key])) for key, name in names.items()
    ]
    errors = study.calibration.set_index(["method", "fraction"])["ece_equal_mass"].to_dict()
    keys = (("zero_shot", 0.0), (origin["method"], origin["fraction"]))
    rows.append(("Calibration error", *(fmt.percent(errors.get(key, math.nan)) for key in keys)))
    heads = ("Measure", "Zero-shot", "This classifier")
    return DataTable("Accuracy on the test images", heads, rows)


def _probabilities(finetuned: Mapping[str, Any]) -> tuple[str, ...]:
    classes, threshold = len(finetuned["classes"]), finetuned["threshold"]
    temperature = (
        f"Logits are divided by a temperature of {finetuned['temperature']:.2f} before the "
        "softmax; it is fitted on held-out labelled images of the development split, and 1 "
        "changes nothing. Probabilities are calibrated for images like those of the corpus only."
    )
    if threshold is None:
        return temperature, (
            "It does not abstain: whatever an image shows, it predicts one of its "
            f"{classes} classes."
        )
    return temperature, (
        f"It abstains (“none of these”) where the highest probability is below "
        f"{fmt.percent(threshold)}. That threshold is chosen on held-out labelled images of the "
        "development split; an out-of-distribution image may still be assigned to one of the "
        f"{classes} classes."
    )


def _splits(audit: Mapping[str, Any]) -> str:
    sizes, rejected = audit["splits"], audit["quarantine"]["total"]
    development, test, unlabelled = (
        fmt.count(sizes.get(name, 0)) for name in ("development", "test", "unlabelled")
    )
    images, groups = (fmt.count(audit["duplicates"][name]) for name in ("images", "groups"))
    return (
        f"{development} labelled images for training and model selection, {test} for testing, "
        f"{unlabelled} without a label, for prediction only. {fmt.count(rejected)} files were "
        f"rejected; {images} images are in {groups} groups of duplicates, none of which spans two "
        f"splits. Digest of the data: {audit['data_digest'][:12]}…."
    )


def _corpora(study: StudyResults) -> tuple[str, ...]:
    name = study.config.study
    where = f"model_card.corpora.{name} in conf/base/parameters_report.yml can say it"
    unknown = f"Its licence is not recorded: {where}."
    corpora = study.model_card.corpora.get(name) or {
        "flickr8k": CorpusFacts(name="The captioned corpus", licence=unknown),
        "sports": CorpusFacts(name="The labelled corpus", licence=unknown),
    }
    captions = f"with {fmt.count(study.tokenize_audit['captions'])} captions"
    contents = {"flickr8k": captions, "sports": "of the classes above"}
    totals = study.ingest_audit["images"]
    return tuple(
        f"{corpus.name}: {fmt.count(totals[key]['total'])} images {contents[key]}. {corpus.licence}"
        for key, corpus in corpora.items()
    )


def _encoders_chapter(audit: Mapping[str, Any]) -> Chapter:
    """A row an encoder: what it is, who trained it, licence, checksum and size of its weights."""
    encoders = [(x["name"], x["weights_sha256"], x["parameters"]) for x in audit["encoders"]]
    encoders.append((audit["text_encoder"], audit["weights_sha256"]["text"], None))
    rows, cautions = [], []
    for name, digest, parameters in encoders:
        facts = weight_facts(name)
        title = name if facts.title == name else f"{name}: {facts.title}"
        origin = f"{facts.origin}, package {facts.package}" if facts.package else facts.origin
        rows.append((title, origin, facts.licence, f"{digest[:12]}…", fmt.millions(parameters)))
        cautions.append(facts.caution)
    heads = ("Encoder", "Weights", "Licence", "sha256", "Parameters")
    table = DataTable("Encoders and the licences of their weights", heads, rows, texts=4)
    items = tuple(dict.fromkeys(filter(None, cautions)))
    return Chapter("Encoders and their weights", items=items, tables=(table,))


def compute_table(study: StudyResults) -> DataTable:
    """Compute used: time of the trials when they were fitted, of features and pretraining."""
    made, history = study.provenance, study.pretrain_history
    facts = {"Trials on frozen encoders": _trials_time(study.finetune_trials)}
    if not study.end_to_end_trials.empty:
        facts["End-to-end trials"] = _trials_time(study.end_to_end_trials)
    ms = sum(float(encoder["ms_per_image"]) for encoder in study.embed_audit["encoders"])
    facts["Features"] = f"{ms:.0f} ms of one core per image, all image encoders and views"
    if not history.empty:
        rate = fmt.count(history["pairs_per_s"].median())
        facts["Pretraining"] = f"{fmt.count(len(history))} epochs at {rate} pairs per second"
    facts |= {"Machine": str(made["device"]), "Commit": commit_name(made)}
    return DataTable("Compute used", ("What", "How much"), list(facts.items()), texts=2)


def _trials_time(trials: pd.DataFrame) -> str:
    reused = int(trials["reused"].sum())
    earlier = f", {fmt.count(reused)} of them reused from earlier runs" if reused else ""
    time = fmt.duration(float(trials["elapsed_s"].sum()))
    return f"{fmt.count(len(trials))} of {trials['method'].nunique()} methods{earlier}: {time}"


def markdown_text(text: str) -> str:
    r"""Text escaped for Markdown, on one line.

    >>> markdown_text("a_b <i> |")
    'a\\_b \\<i\\> \\|'
    """
    return _MARKDOWN.sub(r"\\\1", " ".join(text.replace(fmt.SPACE, " ").split()))
