"""The labelled corpus: as on Kaggle, or somebody's own photographs (`own_photographs`).

The Kaggle form is `train_labels.csv` (`image,sports`) over `train/train/` or `train/`, and
`test_images_list.csv` (`image`) over `test/test/` or `test/`.
"""

from __future__ import annotations

from collections.abc import Sequence

from sports_clip_pipeline.corpora.archive import Archive
from sports_clip_pipeline.corpora.listing import (
    Aside,
    Entry,
    Listing,
    composed,
    find_file,
    image_folder,
    is_image_name,
    plain_name,
    read_columns,
)
from sports_clip_pipeline.corpora.own_photographs import (
    Known,
    has_table_on_top,
    list_folders,
    list_table,
)
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.pipelines.ingest.config import LabelledForm

LABELS, TESTS = "train_labels.csv", "test_images_list.csv"
BY_COMMAND = "`python -m sports_clip_pipeline.corpora.class_bank` writes the block"


def list_sports(
    archive: Archive, labels: Sequence[str], form: LabelledForm | None = None
) -> Listing:
    """The images of the labelled corpus.

    Args:
        archive: the corpus.
        labels: the classes of the study.
        form: how it says which image is of which class; by default, what stands there decides.
    Raises: UserFacingError: a malformed list, an unknown label, an image that is not there, or
        a class without any image.
    """
    listing = list_labelled(archive, one_of(labels), form or LabelledForm(), labels)
    used = {entry.label for entry in listing.entries}
    for label in labels:
        if label not in used:
            raise UserFacingError(
                archive.path,
                f"holds no image of the class {label}",
                "add some, or take the class out of class_bank.classes",
            )
    return listing


def list_labelled(
    archive: Archive, known: Known, form: LabelledForm, labels: Sequence[str] = ()
) -> Listing:
    """The images of the labelled corpus, whatever its classes.

    Args:
        known: a label and where it stands to the class it means, or an error.
        labels: names that are no wrapping folder, though they stand alone.
    """
    kind = form.form
    if kind == "auto" and find_file(archive, LABELS) is not None:
        kind = "kaggle"
    elif kind == "auto":
        kind = "csv" if has_table_on_top(archive, form) else "folders"
    if kind == "kaggle":
        return _kaggle(archive, known)
    if kind == "csv":
        return list_table(archive, known, form)
    return list_folders(archive, known, form, labels)


def one_of(labels: Sequence[str]) -> Known:
    """What refuses a label that is none of these; accents are compared as they look."""
    classes = {composed(label): label for label in labels}

    def known(label: str, where: str) -> str:
        if composed(label) not in classes:
            raise UserFacingError(
                where,
                f"has the label {label!r}, which is none of the {len(labels)} classes",
                f"mend it, or add the class to class_bank.classes ({BY_COMMAND})",
            )
        return classes[composed(label)]

    return known


def _kaggle(archive: Archive, known: Known) -> Listing:
    train = image_folder(archive, ("train/train",)) or image_folder(archive, ("train",))
    test = image_folder(archive, ("test/test",)) or image_folder(archive, ("test",))
    tests = _listed(archive, TESTS, ("image",), test)
    labelled = _listed(archive, LABELS, ("image", "sports"), train)
    entries = []
    for name, (where, label) in labelled.items():
        image = f"train/{name}" if name in tests else name
        entries.append(Entry(image, train[name], "train", known(label, where)))
    entries += [Entry(name, test[name], "test") for name in tests]
    unlisted = [
        Aside(name, path, "not_listed", f"{listname} does not list it")
        for folder, names, listname in ((train, labelled, LABELS), (test, tests, TESTS))
        for name, path in folder.items()
        if name not in names and is_image_name(name)
    ]
    return Listing("sports", tuple(entries), tuple(unlisted), tuple(tests))


def _listed(
    archive: Archive, name: str, columns: tuple[str, ...], images: dict[str, str]
) -> dict[str, tuple[str, str]]:
    """Image -> (where it is listed, its last column), in the order of the list."""
    path = find_file(archive, name)
    if path is None:
        raise UserFacingError(
            f"{archive.path}:{name}",
            "is missing",
            "put the corpus there as on Kaggle, or set ingest.labelled.form to folders",
        )
    found: dict[str, tuple[str, str]] = {}
    for line, row in read_columns(archive, path, columns):
        where = f"{archive.path}:{path} line {line}"
        image = plain_name(row[0], where)
        if image not in images:
            raise UserFacingError(
                where,
                f"names the image {image}, which is not there",
                "add the image or remove the line",
            )
        if image in found:
            raise UserFacingError(
                where, f"names the image {image} again", "remove one of the lines"
            )
        found[image] = (where, row[-1])
    return found
