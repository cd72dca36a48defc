"""Sections on the data and the run: splits, captions, images to review, provenance."""

import io
import platform
from collections.abc import Iterable, Mapping
from importlib import metadata
from typing import Any

import pandas as pd
from PIL import Image

from sports_clip_pipeline.data.image_store import ImageStore
from sports_clip_pipeline.machine import cores
from sports_clip_pipeline.report import figures as fig
from sports_clip_pipeline.report import formatting as fmt
from sports_clip_pipeline.report.sections import DataTable, Section, StudyResults, Thumbnail

CAPTIONED_SPLITS = ("train", "validation", "test")
LABELLED_SPLITS = ("development", "test", "unlabelled")


def data_audit(study: StudyResults) -> Section:
    """Images in each split."""
    sizes = split_sizes(study.ingest_audit)
    bars = fig.count_bars(list(sizes), list(sizes.values()), "images", fig.series_tone(2))
    rows = [(name, fmt.count(n)) for name, n in sizes.items()]
    table = DataTable("Images", ("Split", "Images"), rows)
    return Section("data_audit", figure=bars, folded=(table,))


def split_sizes(ingest_audit: Mapping[str, Any]) -> dict[str, int]:
    """Images in each split of the captioned and of the labelled corpus, by name."""
    captioned, labelled = ingest_audit["images"]["flickr8k"], ingest_audit["splits"]
    sizes = {f"Captioned: {name}": captioned.get(name) for name in CAPTIONED_SPLITS}
    sizes |= {f"Labelled: {name}": labelled.get(name) for name in LABELLED_SPLITS}
    return {name: size for name, size in sizes.items() if size is not None}


def caption_mentions(study: StudyResults) -> Section:
    """How many captions mention each class by name."""
    mentions: Mapping[str, Mapping[str, int]] = study.tokenize_audit["mentions"]
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
        "caption_mentions",
        f"Of {fmt.count(study.tokenize_audit['captions'])} captions. "
        f"Never named: {', '.join(never) if never else 'none'}.",
        fig.count_bars(names, counts, "captions", fig.series_tone(0)),
        folded=(DataTable("Captions that mention each class", ("Class", *splits), rows),),
    )


def rejected_files(study: StudyResults) -> Section:
    """Rejected files by reason and corpus."""
    rejected = study.quarantine.assign(reason=study.quarantine["reason"].str.replace("_", " "))
    heads = {"Reason": "reason", "Corpus": "corpus"}
    empty = "Every file could be read."
    return _counts("rejected", "Rejected files", rejected, heads, "Files", empty)


def duplicates(study: StudyResults) -> Section:
    """Members of duplicate groups by kind, action and corpus."""
    heads = {"Kind": "kind", "Action": "action", "Corpus": "corpus"}
    empty = "There are no duplicate images."
    return _counts("duplicates", "Duplicates", study.duplicates, heads, "Images", empty)


def _counts(
    name: str, caption: str, frame: pd.DataFrame, heads: Mapping[str, str], unit: str, empty: str
) -> Section:
    """How often values occur together, most frequent first, then by value."""
    if frame.empty:
        return Section(name, empty)
    counts = frame[list(heads.values())].astype(str).value_counts().sort_index()
    counts = counts.sort_values(ascending=False, kind="stable")
    rows = [(*values, fmt.count(n)) for values, n in zip(counts.index, counts, strict=True)]
    return Section(name, tables=(DataTable(caption, (*heads, unit), rows, len(heads)),))


def provenance(study: StudyResults) -> Section:
    """The run: commit, data digest, seeds, machine, encoders, package versions."""
    made = study.provenance
    facts = {
        "Study": made["study"],
        "Commit": commit_name(made),
        "Data digest": made["data_digest"],
        "Seeds": ", ".join(str(seed) for seed in made["seeds"]),
        "Machine": made["device"],
        **{f"{kind.capitalize()} encoder": text for kind, text in made["encoders"].items()},
    }
    versions = list(made["versions"].items())
    run = DataTable("The run", ("What", "Value"), list(facts.items()), texts=2)
    packages = DataTable("Versions", ("Package", "Version"), versions, texts=2)
    return Section("provenance", tables=(run, packages))


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
    """Image and text encoder with weights and, unless all features were cached, the backend."""
    described = {}
    for kind in ("image", "text"):
        weights = embed_audit["weights_sha256"][kind][:12]
        text = f"{embed_audit[f'{kind}_encoder']}, weights {weights}…"
        backend = embed_audit["backends"].get(kind)
        described[kind] = f"{text}, by {backend['chosen']}" if backend else text
    return described


def top_ranked(table: pd.DataFrame, most: int) -> pd.DataFrame:
    """The `most` rows of lowest `rank`, in their order; `table` may be empty."""
    return table if table.empty else table.sort_values("rank", kind="stable").head(most)


def draw_thumbnails(
    images: Iterable[str], store: ImageStore, names: Iterable[str], side: int
) -> dict[str, bytes]:
    """JPEG thumbnails of some images, by name.

    Args:
        images: names of the images to draw. names: of all images in the store, row by row.
        side: pixels of the longer side at most.
    Raises: KeyError: an image that is not in the store.
    """
    row = {name: i for i, name in enumerate(names)}
    drawn = {}
    for name in dict.fromkeys(images):
        picture, buffer = store.get(row[name]), io.BytesIO()
        picture.thumbnail((side, side), Image.Resampling.LANCZOS)
        picture.save(buffer, "JPEG", quality=80)
        drawn[name] = buffer.getvalue()
    return drawn


def label_issues(study: StudyResults) -> Section:
    """Label issues: the images whose label is most likely wrong, by confident learning."""
    rows = top_ranked(study.label_issues, study.config.label_issues)
    thumbnails: list[Thumbnail] = [
        (
            study.thumbnails.get(row["image"]),
            f"Image labelled {fmt.class_name(row['label'])}",
            f"{fmt.class_name(row['suggested'])}?",
            [
                f"labelled {fmt.class_name(row['label'])}, "
                f"{fmt.percent(row['self_confidence'])} likely"
            ],
            row["image"],
        )
        for row in rows.to_dict("records")
    ]
    return Section(
        "label_issues",
        "Out-of-sample classifiers predict another class for these images, the most confident "
        f"first: {len(rows)} of {len(study.label_issues)} that confident learning finds. "
        "Candidates to review, not certain errors.",
        thumbnails=thumbnails,
    )


def active_learning(study: StudyResults) -> Section:
    """Active learning: the unlabelled images to label next."""
    thumbnails: list[Thumbnail] = [
        (
            study.thumbnails.get(row["image"]),
            f"Unlabelled image, number {row['rank']}",
            f"{row['rank']}. {fmt.class_name(row['predicted'])}?",
            [f"confidence {fmt.percent(row['probability'])}", fmt.class_name(row["reason"])],
            row["image"],
        )
        for row in top_ranked(study.label_queries, study.config.queried_images).to_dict("records")
    ]
    return Section("active_learning", thumbnails=thumbnails)
