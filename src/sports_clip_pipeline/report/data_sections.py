"""Sections on the data and the run: splits, captions, rejected files, duplicates, provenance."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Iterable, Mapping
from importlib import metadata
from typing import Any

import pandas as pd

from sports_clip_pipeline.machine import cores
from sports_clip_pipeline.report import formatting as fmt
from sports_clip_pipeline.report import theme
from sports_clip_pipeline.report.blocks import Section, make_table
from sports_clip_pipeline.report.figures import count_bars
from sports_clip_pipeline.report.study import StudyResults

CAPTIONED_SPLITS = ("train", "validation", "test")
# Labelled split in the audit -> what readers call it.
LABELLED_SPLITS = {
    "development": "development",
    "evaluation": "test",
    "unlabelled": "unlabelled",
}


def data_audit(study: StudyResults) -> Section:
    """Images in each split."""
    sizes = split_sizes(study.ingest_audit)
    rows = [(name, fmt.count(n)) for name, n in sizes.items()]
    return Section(
        name="data_audit",
        title="Images in each split",
        text=(
            "Hyper-parameters are chosen on development images alone; the unlabelled split only "
            "receives predictions."
        ),
        figure=count_bars(list(sizes), list(sizes.values()), "images", theme.series_tone(2)),
        folded=(make_table("Images", ("Split", "Images"), rows),),
    )


def split_sizes(ingest_audit: Mapping[str, Any]) -> dict[str, int]:
    """Images in each split of both corpora, by name.

    Args:
        ingest_audit: `images: {corpus: {train, validation, test}}`, of which the captioned one is
            read, and `parts: {split: images}` of the labelled corpus.
    """
    captioned, labelled = ingest_audit["images"]["flickr8k"], ingest_audit["parts"]
    sizes = {
        f"Captioned: {name}": captioned[name] for name in CAPTIONED_SPLITS if name in captioned
    }
    named = LABELLED_SPLITS.items()
    return sizes | {f"Labelled: {name}": labelled[key] for key, name in named if key in labelled}


def caption_mentions(study: StudyResults) -> Section:
    """How many captions mention each class by name."""
    audit = study.caption_audit
    mentions: Mapping[str, Mapping[str, int]] = audit["mentions"]
    totals = {label: sum(map(int, by_split.values())) for label, by_split in mentions.items()}
    never = [fmt.class_name(label) for label, captions in totals.items() if captions == 0]
    order = sorted(totals, key=lambda label: (-totals[label], label))
    found = {split for by_split in mentions.values() for split in by_split}
    splits = [split for split in CAPTIONED_SPLITS if split in found]
    rows = [
        (fmt.class_name(label), *(fmt.count(by_split.get(split, 0)) for split in splits))
        for label, by_split in mentions.items()
    ]
    names, counts = [fmt.class_name(label) for label in order], [totals[label] for label in order]
    return Section(
        name="caption_mentions",
        title="How often captions name each class",
        text=(
            f"Of {fmt.count(audit['captions'])} captions. "
            f"Never named: {', '.join(never) if never else 'none'}."
        ),
        figure=count_bars(names, counts, "captions", theme.series_tone(0)),
        folded=(make_table("Captions that mention each class", ("Class", *splits), rows),),
    )


def rejected_files(study: StudyResults) -> Section:
    """Rejected files by reason and corpus."""
    rows = [
        (reason.replace("_", " "), corpus, fmt.count(n))
        for (reason, corpus), n in group_counts(study.rejected, ["reason", "corpus"])
    ]
    table = make_table("Rejected files", ("Reason", "Corpus", "Files"), rows, texts=2)
    text = "" if rows else "Every file could be read."
    return Section("rejected", "Rejected files", text, tables=(table,) if rows else ())


def duplicates(study: StudyResults) -> Section:
    """Members of duplicate groups by kind, action and corpus."""
    groups = group_counts(study.duplicates, ["kind", "action", "corpus"])
    rows = [(*names, fmt.count(n)) for names, n in groups]
    heads = ("Kind", "Action", "Corpus", "Images")
    table = make_table("Members of duplicate groups", heads, rows, texts=3)
    text = "" if rows else "There are no duplicate images."
    return Section("duplicates", "Duplicates", text, tables=(table,) if rows else ())


def group_counts(frame: pd.DataFrame, columns: list[str]) -> list[tuple[tuple[str, ...], int]]:
    """How often each combination of values occurs, most frequent first, then by value."""
    counts = Counter(frame[columns].astype(str).itertuples(index=False, name=None))
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def provenance(study: StudyResults) -> Section:
    """The run: commit, data digest, seeds, machine, encoders, package versions."""
    made = study.provenance
    facts = {
        "Study": made["study"],
        "Commit": commit_name(made),
        "Data digest": made["data_digest"],
        "Seeds": ", ".join(str(seed) for seed in made["seeds"]),
        "Machine": made["device"],
        **{f"{kind.capitalize()} encoder": text for kind, text in made["towers"].items()},
    }
    versions = list(made["versions"].items())
    run = make_table("The run", ("What", "Value"), list(facts.items()), texts=2)
    packages = make_table("Versions", ("Package", "Version"), versions, texts=2)
    return Section("provenance", "", tables=(run, packages))


def commit_name(made: Mapping[str, Any]) -> str:
    """The commit of a run, and whether the working tree had changes."""
    return f"{made['commit']}{' with local changes' if made.get('dirty') else ''}"


def package_versions(packages: Iterable[str]) -> dict[str, str]:
    """Version of Python and of each distribution that is installed."""
    versions = {"python": platform.python_version()}
    for name in packages:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def machine() -> str:
    """Operating system, processor family and number of usable cores."""
    return f"{platform.system()} {platform.machine()}, {cores()} cores"


def describe_encoders(embed_audit: Mapping[str, Any]) -> dict[str, str]:
    """Image and text encoder with weights and, where features were computed, the backend.

    Args:
        embed_audit: `image_encoder`, `text_encoder`, and by `image` and `text` `weights_sha256`
            and `backends`; no backend where all features were cached.
    """
    described = {}
    for kind in ("image", "text"):
        weights = embed_audit["weights_sha256"][kind][:12]
        text = f"{embed_audit[f'{kind}_encoder']}, weights {weights}…"
        backend = embed_audit["backends"].get(kind)
        described[kind] = f"{text}, by {backend['chosen']}" if backend else text
    return described
