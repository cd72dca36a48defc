"""Model card of the exported classifier: use, accuracy, data, weights, licences, compute.

Source: Mitchell et al. 2019, section 4, whose headings it follows as far as a run can fill them.
"""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from sports_clip_pipeline.encoders.weights import is_pair, weight_facts
from sports_clip_pipeline.pipelines.report.config import CorpusFacts
from sports_clip_pipeline.report import formatting as fmt
from sports_clip_pipeline.report.data_sections import commit_name
from sports_clip_pipeline.report.sections import DataTable, StudyResults


def compose_model_card(study: StudyResults) -> dict[str, Any]:
    """The values that the template `model_card.j2` places in the text of the card."""
    metrics, stages = study.finetune_metrics, study.pretrain_history.get("encoders", ())
    trained = ["projections"] * (not is_pair(study.embed_audit["image_encoder"]))
    trained += ["last encoder blocks"] * ("unlocked" in set(stages))
    first, *rest = metrics["encoders"]
    # An encoder that the study trained comes before the frozen one of the same name.
    encoders = [f"{first} (trained here)" if first in rest else first, *rest]
    weights, cautions = _weights(study.embed_audit)
    return {
        "study": study,
        "method": study.name(metrics["origin"]["method"]),
        "encoders": " + ".join(encoders),
        "classes": list(map(fmt.class_name, metrics["classes"])),
        "hardest": min(metrics["per_class"], key=lambda name: metrics["per_class"][name]["f1"]),
        "trained": " and ".join(trained),
        "accuracy": _accuracy_table(study),
        "corpora": _corpora(study),
        "weights": weights,
        "cautions": cautions,
        "compute": compute_table(study),
    }


def _accuracy_table(study: StudyResults) -> DataTable:
    before, after = study.zero_shot_metrics, study.finetune_metrics
    names = {"top1": "Top-1", "top5": "Top-5", "macro_f1": "Macro F1"}
    rows: list[tuple[str, ...]] = [
        (name, fmt.percent(before[key]), fmt.percent(after[key])) for key, name in names.items()
    ]
    errors = study.calibration.set_index(["method", "fraction"])["ece_equal_mass"].to_dict()
    keys = (("zero_shot", 0.0), (after["origin"]["method"], after["origin"]["fraction"]))
    rows.append(("Calibration error", *(fmt.percent(errors.get(key, math.nan)) for key in keys)))
    heads = ("Measure", "Zero-shot", "This classifier")
    return DataTable("Accuracy on the test images", heads, rows)


def _corpora(study: StudyResults) -> dict[str, CorpusFacts]:
    """Name and licence of each corpus, as far as the configuration records them."""
    name = study.config.study
    where = f"model_card.corpora.{name} in conf/base/parameters_report.yml can say it"
    unknown = f"Its licence is not recorded: {where}."
    return study.model_card.corpora.get(name) or {
        "flickr8k": CorpusFacts(name="The captioned corpus", licence=unknown),
        "sports": CorpusFacts(name="The labelled corpus", licence=unknown),
    }


def _weights(audit: Mapping[str, Any]) -> tuple[DataTable, list[str]]:
    """A row an encoder: what it is, who trained it, licence, checksum and size; and cautions."""
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
    return table, list(dict.fromkeys(filter(None, cautions)))


def compute_table(study: StudyResults) -> DataTable:
    """Compute used: time of the trials when they were fitted, of features and pretraining."""
    made, history = study.provenance, study.pretrain_history
    facts = {"Trials on frozen encoders": _trials_time(study.finetune_trials)}
    if not study.end_to_end_trials.empty:
        facts["End-to-end trials"] = _trials_time(study.end_to_end_trials)
    ms = sum(float(encoder["ms_per_image"]) for encoder in study.embed_audit["encoders"])
    facts["Features"] = f"{ms:.0f} ms of one core per image, all image encoders and views"
    if study.epochs:
        rate = fmt.count(history["pairs_per_s"].median())
        facts["Pretraining"] = f"{fmt.count(study.epochs)} epochs at {rate} pairs per second"
    facts |= {"Machine": str(made["device"]), "Commit": commit_name(made)}
    return DataTable("Compute used", ("What", "How much"), list(facts.items()), texts=2)


def _trials_time(trials: pd.DataFrame) -> str:
    reused = int(trials["reused"].sum())
    earlier = f", {fmt.count(reused)} of them reused from earlier runs" if reused else ""
    time = fmt.duration(float(trials["elapsed_s"].sum()))
    return f"{fmt.count(len(trials))} of {trials['method'].nunique()} methods{earlier}: {time}"
