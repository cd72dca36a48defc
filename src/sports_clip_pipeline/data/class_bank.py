"""`python -m sports_clip_pipeline.data.class_bank`: the classes of somebody's own images.

It writes the block `class_bank` with a name for each class, for a person to go over. The order of
the classes is that of logits and confusion matrices, so that the block is a file that a study keeps
and not something found anew on the disk in every run.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import yaml

from sports_clip_pipeline.data.archives import Archive
from sports_clip_pipeline.data.classes import ClassBank, ClassEntry
from sports_clip_pipeline.data.labelled import list_labelled
from sports_clip_pipeline.data.listing import Listing, composed
from sports_clip_pipeline.data.splits import least_fraction
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.io.state import write_atomically
from sports_clip_pipeline.pipelines.ingest.config import IngestConfig

BESIDE = "parameters_ingest.yml"
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
  #     and none that two classes share.
  #   sentences: what its images show, in the manner of captions; may stay empty. Write them
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


def ingest_beside(out: Path) -> IngestConfig:
    """The settings of ingest in the same environment; the defaults where it has none of its own.

    Raises: UserFacingError: they are no settings of ingest.
    """
    path = out.with_name(BESIDE)
    if not path.is_file():
        return IngestConfig()
    try:
        return IngestConfig(**yaml.safe_load(path.read_text("utf-8"))["ingest"])
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError) as error:
        what = f"holds no block `ingest` with known fields ({' '.join(str(error).split())})"
        remedy = "compare it with conf/base/parameters_ingest.yml"
        raise UserFacingError(path, what, remedy) from error


def class_bank_yaml(labels: Sequence[str]) -> str:
    """The parameter block, each class with one name: its label with underscores as spaces.

    Raises: UserFacingError: labels that no class bank can hold, such as one alone.
    """
    names = {label: " ".join(label.replace("_", " ").split()) for label in labels}
    ClassBank(
        templates=TEMPLATES,
        classes=tuple(ClassEntry(label=label, names=(name,)) for label, name in names.items()),
    )
    templates = "".join(f"    - {_quoted(template)}\n" for template in TEMPLATES)
    entries = "".join(
        f"    - label: {_quoted(label)}\n      names: [{_quoted(name)}]\n      sentences: []\n"
        for label, name in names.items()
    )
    return f"{HEADER}{templates}{ENTRIES}{entries}"


def _quoted(text: str) -> str:
    """In double quotes, which YAML reads as JSON does: `no` and `2020` stay text."""
    return json.dumps(text, ensure_ascii=False)


def summary(listing: Listing, test_share: float) -> str:
    """What was found, and which label fractions suit it.

    Raises: UserFacingError: too few images of a class.
    """
    counts = Counter(entry.label for entry in listing.entries if entry.label is not None)
    for label, count in counts.items():
        if count < 2:
            what = f"has {count} image, and each class wants two or more"
            raise UserFacingError(f"the class {label}", what, "add some, or take it away")
    development = {label: _development(n, test_share) for label, n in counts.items()}
    smallest, largest = (choose(development, key=development.__getitem__) for choose in (min, max))
    if development[largest] < 2:
        what = f"leaves one of its {counts[largest]} images to learn from, as all others do"
        raise UserFacingError(f"the class {largest}", what, "add some: one class has to leave two")
    least = least_fraction(development[smallest], development[largest])
    usual = ", ".join(f"{share:g}" for share in USUAL_FRACTIONS if share >= least)
    lists = [item.path for item in listing.rejected if item.path.casefold().endswith(".csv")]
    unread = f"\nNot read: {', '.join(lists)}; a list is named in ingest.labelled.labels_file."
    return (
        f"{len(counts)} classes, {counts.total()} images with a label, "
        f"{len(listing.entries) - counts.total()} without\n"
        f"  {', '.join(f'{name} {count}' for name, count in sorted(counts.items()))}\n"
        f"The smallest class, {smallest}, leaves about {development[smallest]} images for "
        f"development.\nThe least label fraction is about {least:g}; fractions: [{usual}] suit it."
        f"{unread if lists else ''}"
    )


def _development(count: int, test_share: float) -> int:
    """Images of a class to learn from, where none is a duplicate or unusable."""
    return count - min(max(1, round(test_share * count)), count - 1)


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and write; returns the exit status."""
    given = _parser().parse_args(arguments)
    try:
        told = _write(given.images, given.out, given.replace)
    except UserFacingError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    print(told)
    return 0


def _write(place: Path, out: Path, replace: bool) -> str:
    """Read the corpus, write the block, tell what was found."""
    if out.exists() and not replace:
        raise UserFacingError(out, "stands there already", "add --replace to lose it")
    config = ingest_beside(out)
    listing = read_classes(place, config)
    labels = sorted({entry.label for entry in listing.entries if entry.label is not None})
    if len(labels) < 2:
        named = f" ({', '.join(labels)})" if labels else ""
        raise UserFacingError(
            place,
            f"holds {len(labels)} classes{named}, and a study wants two or more",
            "put a folder for each class there, or a list with labels",
        )
    text, found = class_bank_yaml(labels), summary(listing, config.test_share)
    write_atomically(out, text.encode())
    return f"{found}\nWritten: {out}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m sports_clip_pipeline.data.class_bank",
        description="Write the parameter block class_bank for labelled images. How they are "
        f"laid out is read from the block `ingest` in {BESIDE}, where that stands beside the file "
        "to write.",
        epilog="example: python -m sports_clip_pipeline.data.class_bank "
        "data/01_raw/own/photographs conf/own/parameters_class_bank.yml",
    )
    parser.add_argument("images", type=Path, help="folder or zip of the labelled images")
    parser.add_argument("out", type=Path, help="file to write")
    parser.add_argument("--replace", action="store_true", help="write over a file that is there")
    return parser


if __name__ == "__main__":
    sys.exit(main())
