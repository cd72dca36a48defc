"""The labelled corpus: as on Kaggle, or any tree with one folder a class.

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
    base_name,
    find_file,
    image_folder,
    is_image_name,
    plain_name,
    read_columns,
)
from sports_clip_pipeline.errors import UserFacingError

LABELS, TESTS = "train_labels.csv", "test_images_list.csv"


def list_sports(archive: Archive, labels: Sequence[str], form: str = "auto") -> Listing:
    """The images of the labelled corpus.

    Args:
        archive: the corpus.
        labels: the classes of the study.
        form: `kaggle`, `folders`, or `auto`: `kaggle` where train_labels.csv stands.
    Raises: UserFacingError: a malformed list, an unknown label, an image that is not there, or
        a class without any image.
    """
    is_kaggle = form == "kaggle" or (form == "auto" and find_file(archive, LABELS) is not None)
    listing = _kaggle(archive, labels) if is_kaggle else _folders(archive, labels)
    used = {entry.label for entry in listing.entries}
    for label in labels:
        if label not in used:
            raise UserFacingError(
                archive.path,
                f"holds no image of the class {label}",
                "add some, or take the class out of class_bank.classes",
            )
    return listing


def _kaggle(archive: Archive, labels: Sequence[str]) -> Listing:
    train = image_folder(archive, ("train/train",)) or image_folder(archive, ("train",))
    test = image_folder(archive, ("test/test",)) or image_folder(archive, ("test",))
    tests = _listed(archive, TESTS, ("image",), test)
    labelled = _listed(archive, LABELS, ("image", "sports"), train)
    entries = []
    for name, (where, label) in labelled.items():
        _known(label, labels, where)
        image = f"train/{name}" if name in tests else name
        entries.append(Entry(image, train[name], "train", label))
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
            "put the corpus there as on Kaggle, or set ingest.labelled_form to folders",
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


def _folders(archive: Archive, labels: Sequence[str]) -> Listing:
    entries, aside = [], []
    for path, inside in _unwrapped(archive, labels):
        label, slash, rest = inside.partition("/")
        if not slash:
            if is_image_name(path):
                aside.append(Aside(inside, path, "not_listed", "stands outside the class folders"))
        elif "/" in rest:
            aside.append(Aside(inside, path, "not_listed", "stands below its class's folder"))
        else:
            _known(label, labels, f"{archive.path}:{path}")
            entries.append(Entry(inside, path, "train", label))
    return Listing("sports", tuple(entries), tuple(aside))


def _unwrapped(archive: Archive, labels: Sequence[str]) -> list[tuple[str, str]]:
    """Each file with its name below one wrapping folder, if there is one."""
    names = archive.names()
    tops = {name.partition("/")[0] for name in names if "/" in name}
    if len(tops) == 1 and not tops & set(labels):
        return [(name, name.partition("/")[2] or base_name(name)) for name in names if "/" in name]
    return [(name, name) for name in names]


def _known(label: str, labels: Sequence[str], where: str) -> None:
    if label not in labels:
        raise UserFacingError(
            where,
            f"has the label {label!r}, which is none of the {len(labels)} classes",
            "mend it, or add the class to class_bank.classes",
        )
