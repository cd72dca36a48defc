"""The class bank: labels, names and descriptions of the classes, and a command that drafts it.

`python -m sports_clip_pipeline.data.class_bank` writes the parameter block for a labelled corpus,
to be edited by hand. The order of the classes is that of logits and confusion matrices, so it is
kept in a file and not derived from the corpus in every run.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING, Annotated

import click
import yaml
from pydantic import AfterValidator, BeforeValidator, Field

from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.parameters import Parameters, Texts, filled
from sports_clip_pipeline.pipelines.ingest.config import IngestConfig

if TYPE_CHECKING:
    from sports_clip_pipeline.data.listing import Listing


def _check_label(label: object) -> object:
    if not isinstance(label, str) or label != label.strip() or not label:
        raise ValueError("wanted text without outer blanks (a number, yes or no wants quotes)")
    return label


class ClassEntry(Parameters):
    """Label, names and descriptions of one class."""

    label: Annotated[str, BeforeValidator(_check_label)] = Field(
        description="As the corpus spells it."
    )
    names: Annotated[Texts, AfterValidator(filled)] = Field(
        description="What people call it; the first name is displayed."
    )
    sentences: Texts = Field((), description="Sentences that describe its images.")


def _check_templates(templates: tuple[str, ...]) -> tuple[str, ...]:
    for template in templates:
        rest = template.replace("{}", "", 1)
        if "{}" not in template or {"{", "}"} & set(rest):
            raise ValueError("wanted exactly one {} in each template, and no other brace")
    return templates


def _check_unique(classes: tuple[ClassEntry, ...]) -> tuple[ClassEntry, ...]:
    label_of: dict[str, str] = {}
    for entry in classes:
        for name in entry.names:
            if (other := label_of.setdefault(name.casefold(), entry.label)) != entry.label:
                raise ValueError(
                    f"wanted names of its own for {entry.label} (class {other} has {name!r})"
                )
    counts = Counter(entry.label.casefold() for entry in classes)
    if repeated := sorted(label for label, count in counts.items() if count > 1):
        raise ValueError(f"wanted labels that differ in more than case, got {repeated} twice")
    return classes


class ClassBank(Parameters, block="class_bank"):
    """Parameter block `class_bank`: names and descriptions of the classes for text prompts.

    The order of `classes` is that of logits, probabilities and confusion matrices. It is a list,
    so that an environment's classes replace those of base.
    """

    templates: Annotated[Texts, AfterValidator(filled), AfterValidator(_check_templates)] = Field(
        description="Prompt templates with exactly one `{}`, where a name goes."
    )
    classes: Annotated[
        tuple[ClassEntry, ...],
        BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value),
        AfterValidator(_check_unique),
        Field(min_length=1),
    ] = Field(description="Label, names and sentences of each class.")

    def require_two(self) -> None:
        """Raises: UserFacingError: fewer than two classes."""
        if len(self.classes) < 2:
            what = f"wanted two classes or more, got {list(self.labels)}"
            raise UserFacingError("parameter class_bank.classes", what, "add a class")

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels, in the order of the configuration."""
        return tuple(entry.label for entry in self.classes)

    def __getitem__(self, label: str) -> ClassEntry:
        """Names and descriptions of a class. Raises: KeyError: no such label."""
        return dict(zip(self.labels, self.classes, strict=True))[label]

    def prompts(self, label: str) -> tuple[str, ...]:
        """Every template with every name, then the sentences.

        >>> ball = dict(label="ball", names="a ball")
        >>> bank = ClassBank(templates="a photo of {}.", classes=[ball])
        >>> bank.prompts("ball")
        ('a photo of a ball.',)

        Raises: KeyError: no such label.
        """
        entry = self[label]
        prompts = (t.replace("{}", name) for t in self.templates for name in entry.names)
        return (*prompts, *entry.sentences)


USUAL_FRACTIONS = (0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0)


def class_bank_yaml(labels: Sequence[str]) -> str:
    """The parameter block as YAML, each class named by its label with underscores as spaces.

    Raises: UserFacingError: labels that no class bank can hold, such as two equal names.
    """
    classes = [
        {"label": label, "names": [" ".join(label.replace("_", " ").split())], "sentences": []}
        for label in labels
    ]
    listed = yaml.safe_dump(classes, allow_unicode=True, sort_keys=False)
    header = Path(__file__).with_name("class_bank_header.yml").read_text("utf-8")
    text = f"{header}{indent(listed, '    ')}"
    ClassBank.model_validate(yaml.safe_load(text)["class_bank"])
    return text


@click.command(
    epilog="Example: python -m sports_clip_pipeline.data.class_bank data/01_raw/own/images "
    "conf/own/parameters_class_bank.yml"
)
@click.argument("images", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--replace", is_flag=True, help="Overwrite an existing file.")
def main(images: Path, out: Path, replace: bool) -> None:
    """Write the parameter block class_bank for labelled IMAGES, a folder or a zip, to the file OUT.

    Their format is read from the block `ingest` in parameters_ingest.yml, if that is beside OUT.
    """
    try:
        click.echo(_write_class_bank(images, out, replace))
    except UserFacingError as error:
        raise click.ClickException(str(error)) from error


def _write_class_bank(images: Path, out: Path, replace: bool) -> str:
    """Read the corpus and write the block. Returns: a summary of the corpus."""
    from sports_clip_pipeline.data.archives import Archive
    from sports_clip_pipeline.data.labelled import list_sports
    from sports_clip_pipeline.io.state import write_atomically

    if out.exists() and not replace:
        raise UserFacingError(out, "already exists", "add --replace to overwrite it")
    config = _ingest_config(out.with_name("parameters_ingest.yml"))
    path = images.with_suffix("") if images.suffix.casefold() == ".zip" else images
    archive = Archive.open(path).within(config.limits)
    listing = list_sports(archive, [], config.labelled)
    counts = Counter(entry.label for entry in listing.entries if entry.label is not None)
    if len(counts) < 2:
        what = f"holds {len(counts)} classes, and a study wants two or more"
        remedy = "put a folder for each class there, or a list with labels"
        raise UserFacingError(images, what, remedy)
    text, summary = class_bank_yaml(sorted(counts)), _summary(listing, counts, config.test_share)
    write_atomically(out, text.encode())
    return f"{summary}\nWritten: {out}"


def _ingest_config(path: Path) -> IngestConfig:
    """The block `ingest` of a file, or its defaults if there is no such file."""
    if not path.is_file():
        return IngestConfig()
    try:
        return IngestConfig(**yaml.safe_load(path.read_text("utf-8"))["ingest"])
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError) as error:
        what = f"holds no block `ingest` with known fields ({' '.join(str(error).split())})"
        remedy = "compare it with conf/base/parameters_ingest.yml"
        raise UserFacingError(path, what, remedy) from error


def _summary(listing: "Listing", counts: Counter[str], test_share: float) -> str:
    """Classes, image counts and suitable label fractions. Raises: UserFacingError: too few."""
    from sports_clip_pipeline.data.splits import heldout_size, least_fraction

    for label, count in counts.items():
        if count < 2:
            what = f"has {count} image, and each class needs two or more"
            raise UserFacingError(f"the class {label}", what, "add some, or remove it")
    development = {label: n - heldout_size(n, test_share) for label, n in counts.items()}
    smallest = min(development, key=development.__getitem__)
    largest = max(development, key=development.__getitem__)
    if development[largest] < 2:
        what = f"leaves one of its {counts[largest]} images for development, as all others do"
        raise UserFacingError(f"the class {largest}", what, "add some: one class has to leave two")
    least = least_fraction(development[smallest], development[largest])
    fractions = ", ".join(f"{share:g}" for share in USUAL_FRACTIONS if share >= least)
    lists = [item.path for item in listing.rejected if item.path.casefold().endswith(".csv")]
    unread = f"\nNot read: {', '.join(lists)}; a list is named in ingest.labelled.labels_file."
    return (
        f"{len(counts)} classes, {counts.total()} images with a label, "
        f"{len(listing.entries) - counts.total()} without\n"
        f"  {', '.join(f'{name} {count}' for name, count in sorted(counts.items()))}\n"
        f"The smallest class, {smallest}, leaves about {development[smallest]} images for "
        f"development.\nThe least label fraction is about {least:g}; suitable fractions: "
        f"[{fractions}].{unread if lists else ''}"
    )


if __name__ == "__main__":
    main()
