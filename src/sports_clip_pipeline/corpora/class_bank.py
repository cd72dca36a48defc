"""`python -m sports_clip_pipeline.corpora.class_bank`: the classes of somebody's own photographs.

It writes the block `class_bank` with a name for each class, for a person to go over. The order of
the classes is that of logits and confusion matrices, so that the block is a file that a study keeps
and not something found anew on the disk in every run.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from sports_clip_pipeline.config.classes import ClassBank
from sports_clip_pipeline.config.ingest import IngestConfig
from sports_clip_pipeline.corpora.archive import Archive
from sports_clip_pipeline.corpora.listing import Listing, composed
from sports_clip_pipeline.corpora.sports import list_labelled
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.journal.disk import write_atomically

TEMPLATES = ("a photo of {}.", "This picture shows {}.")
USUAL_FRACTIONS = (0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0)
HEADER = """\
# The classes of this study. The order is that of logits and confusion matrices.
class_bank:
  # Sentences with exactly one {}, where each name of a class goes in turn.
  templates:
"""
ENTRIES = """\
  # label, as the folder or the list spells it:
  #   names: what captions would call it (in English, for the packaged text tower); one or more,
  #     and none that two classes share. The first is shown.
  #   sentences: what its photographs show, in the manner of captions; may stay empty. Write them
  #     before you look at any result.
  classes:
"""


def read_classes(place: Path, config: IngestConfig) -> Listing:
    """What stands in a labelled corpus, its labels with accents composed.

    Args:
        place: a folder, a zip, or the zip's name without its suffix.
        config: the form of the corpus.
    Raises: UserFacingError: nothing stands there, or it is malformed.
    """
    bare = place.with_suffix("") if place.suffix.casefold() == ".zip" else place
    archive = Archive.open(bare, config.limits)
    return list_labelled(archive, lambda label, _: composed(label), config.labelled)


def class_bank_yaml(labels: Sequence[str]) -> str:
    """The parameter block, each class with one name: its label with underscores as spaces.

    Raises: UserFacingError: labels that no class bank can hold, such as one alone.
    """
    names = {label: " ".join(label.replace("_", " ").split()) for label in labels}
    ClassBank(TEMPLATES, {label: {"names": (name,)} for label, name in names.items()})
    templates = "".join(f"    - {_quoted(template)}\n" for template in TEMPLATES)
    entries = "".join(
        f"    {_quoted(label)}:\n      names: [{_quoted(name)}]\n      sentences: []\n"
        for label, name in names.items()
    )
    return f"{HEADER}{templates}{ENTRIES}{entries}"


def _quoted(text: str) -> str:
    """In double quotes, which YAML reads as JSON does: `no` and `2020` stay text."""
    return json.dumps(text, ensure_ascii=False)


def least_fraction(counts: Mapping[str, int], evaluation_share: float) -> tuple[str, int, float]:
    """The smallest class, its development photographs, the least share that buys each class one.

    Args:
        counts: photographs a class, before any is set aside; 2 or more each.
    """
    label = min(counts, key=lambda one: counts[one])
    evaluation = min(max(1, round(evaluation_share * counts[label])), counts[label] - 1)
    development = counts[label] - evaluation
    return label, development, math.ceil(10_000 / development) / 10_000


def summary(listing: Listing, evaluation_share: float) -> str:
    """What was found, and which label fractions suit it.

    Raises: UserFacingError: a class with one photograph alone.
    """
    counts = Counter(entry.label for entry in listing.entries if entry.label is not None)
    for label, count in counts.items():
        if count < 2:
            what = f"has {count} photograph, and each class wants two or more"
            raise UserFacingError(f"the class {label}", what, "add some, or take it away")
    unlabelled = len(listing.entries) - counts.total()
    label, development, least = least_fraction(counts, evaluation_share)
    usual = ", ".join(f"{share:g}" for share in USUAL_FRACTIONS if share >= least)
    return (
        f"{len(counts)} classes, {counts.total()} photographs with a label, {unlabelled} without\n"
        f"  {', '.join(f'{name} {count}' for name, count in sorted(counts.items()))}\n"
        f"The smallest class, {label}, leaves about {development} photographs for development.\n"
        f"So the least label fraction is {least}; fractions: [{usual}] suit it."
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and write; returns the exit status."""
    given = _parser().parse_args(arguments)
    try:
        config = IngestConfig(
            labelled_form=given.form,
            labels_file=given.labels_file,
            image_column=given.image_column,
            label_column=given.label_column,
            images_folder=given.images_folder,
            unlabelled_folder=given.unlabelled_folder,
        )
        if given.out.exists() and not given.replace:
            raise UserFacingError(given.out, "stands there already", "add --replace to lose it")
        listing = read_classes(given.photographs, config)
        labels = sorted({entry.label for entry in listing.entries if entry.label is not None})
        if len(labels) < 2:
            named = f" ({', '.join(labels)})" if labels else ""
            raise UserFacingError(
                given.photographs,
                f"holds {len(labels)} classes{named}, and a study wants two or more",
                "put a folder for each class there, or a list with labels",
            )
        text, found = class_bank_yaml(labels), summary(listing, config.evaluation_share)
        write_atomically(given.out, text.encode())
    except UserFacingError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    print(f"{found}\nWritten: {given.out}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m sports_clip_pipeline.corpora.class_bank",
        description="Write the parameter block class_bank for labelled photographs.",
        epilog="example: python -m sports_clip_pipeline.corpora.class_bank "
        "data/01_raw/own/photographs conf/own/parameters_class_bank.yml",
    )
    parser.add_argument("photographs", type=Path, help="folder or zip of the labelled photographs")
    parser.add_argument("out", type=Path, help="file to write")
    parser.add_argument("--replace", action="store_true", help="write over a file that is there")
    defaults = IngestConfig()
    for name, what in (
        ("form", "auto, csv or folders"),
        ("labels-file", "the list of the form csv"),
        ("image-column", "its column of paths"),
        ("label-column", "its column of labels"),
        ("images-folder", "where its paths begin, below the list's own folder"),
        ("unlabelled-folder", "photographs without a label"),
    ):
        field = "labelled_form" if name == "form" else name.replace("-", "_")
        default = getattr(defaults, field)
        text = f"{what}; as ingest.{field} (default: {default or 'that folder'})"
        parser.add_argument(f"--{name}", default=default, help=text)
    return parser


if __name__ == "__main__":
    sys.exit(main())
