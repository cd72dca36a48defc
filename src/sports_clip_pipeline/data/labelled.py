"""Readers of the labelled corpus: Kaggle lists, class folders, or a CSV beside the images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import PurePosixPath

from sports_clip_pipeline.data.archives import Archive
from sports_clip_pipeline.data.listing import (
    Aside,
    Entry,
    Listing,
    base_name,
    composed,
    find_file,
    image_folder,
    inner_path,
    is_image_name,
    plain_name,
    read_columns,
)
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.pipelines.ingest.config import LabelledForm

Known = Callable[[str, str], str]
"""A label and where it stands -> the class it means. Raises: UserFacingError: none."""
_RENAMED = "name yours in ingest.labelled.image_column and ingest.labelled.label_column"
BESIDE = frozenset(
    {".txt", ".csv", ".json", ".xml", ".xmp", ".aae", ".md", ".pdf", ".ini", ".db", ".mov", ".mp4"}
)
"""Suffixes of what cameras, phones and file managers put beside photographs."""


def list_folders(
    archive: Archive, known: Known, form: LabelledForm, labels: Sequence[str] = ()
) -> Listing:
    """One folder a class, at the top or below one wrapping folder.

    What stands deeper in a class's folder is of that class too, where its name is one of an image.

    Args:
        known: refuses folders that are no class.
        labels: names that are no wrapping folder, though they stand alone.
    """
    entries, tests, aside = [], [], []
    for path, inside in _unwrapped(archive, labels):
        folder, slash, rest = inside.partition("/")
        if why := _why_not(folder if slash else "", rest or folder):
            if slash or is_image_name(path) or path.casefold().endswith(".csv"):
                aside.append(Aside(inside, path, "not_listed", why))
        elif folder == form.unlabelled_folder:
            tests.append(Entry(inside, path, "test"))
        else:
            label = known(folder, f"{archive.path}:{path}")
            entries.append(Entry(inside, path, "train", label))
    order = tuple(entry.image for entry in tests)
    return Listing("sports", (*entries, *tests), tuple(aside), order)


def _why_not(folder: str, name: str) -> str:
    """Why a file is no photograph of a class; nothing where it is to be opened."""
    if not folder:
        return "stands outside the class folders"
    if PurePosixPath(name).suffix.casefold() in BESIDE:
        return "is no photograph by its name"
    if "/" in name and not is_image_name(name):
        return "stands below its class's folder, and is no photograph by its name"
    return ""


def _unwrapped(archive: Archive, labels: Sequence[str]) -> list[tuple[str, str]]:
    """Each file with its name below one wrapping folder, if there is one."""
    names = archive.names()
    tops = {name.partition("/")[0] for name in names if "/" in name}
    if len(tops) == 1 and not {composed(top) for top in tops} & {composed(one) for one in labels}:
        return [(name, name.partition("/")[2] or name) for name in names]
    return [(name, name) for name in names]


def has_table_on_top(archive: Archive, form: LabelledForm) -> bool:
    """Whether the list stands at the top, or at the top of one wrapping folder."""
    path = find_file(archive, form.labels_file)
    if path is None or "/" not in path:
        return path is not None
    folder = path.rpartition("/")[0]
    return "/" not in folder and all(name.startswith(f"{folder}/") for name in archive.names())


def list_table(archive: Archive, known: Known, form: LabelledForm) -> Listing:
    """A CSV list of image and label; a row without a label is a photograph without one.

    Paths are read from the list's own folder on, or from `images_folder` below it, and name the
    images. Photographs that the list leaves out are set aside, but for those of
    `unlabelled_folder`.

    Raises: UserFacingError: no list, a column that is missing, an image that is not there, named
        twice or outside the folder, a label that `known` refuses.
    """
    path = _table(archive, form)
    top = path.rpartition("/")[0]
    listed = _rows(archive, path, known, form)
    used = {entry.path for entry in listed}
    entries, aside, names = list(listed), [], {entry.image for entry in listed}
    for member in archive.names():
        inside = member.removeprefix(f"{top}/") if top else member
        if member in used or not is_image_name(member):
            continue
        if not inside.startswith(f"{form.unlabelled_folder}/"):
            aside.append(Aside(inside, member, "not_listed", f"{base_name(path)} does not list it"))
        elif inside in names:
            what = f"has the name of another image in {base_name(path)}"
            raise UserFacingError(f"{archive.path}:{member}", what, "rename one of them")
        else:
            entries.append(Entry(inside, member, "test"))
    order = tuple(entry.image for entry in entries if entry.split == "test")
    return Listing("sports", tuple(entries), tuple(aside), order)


def _table(archive: Archive, form: LabelledForm) -> str:
    path = find_file(archive, form.labels_file)
    if path is None:
        columns = f"{form.image_column},{form.label_column}"
        raise UserFacingError(
            f"{archive.path}:{form.labels_file}",
            "is missing",
            f"put a CSV with the columns {columns} there, name yours in "
            "ingest.labelled.labels_file, or set ingest.labelled.form to folders",
        )
    return path


def _rows(archive: Archive, path: str, known: Known, form: LabelledForm) -> list[Entry]:
    """The list's images in its order."""
    members = {composed(name): name for name in archive.names()}
    root = PurePosixPath(path).parent / form.images_folder
    entries: dict[str, Entry] = {}
    columns = form.image_column, form.label_column
    for line, (image, label) in read_columns(archive, path, columns, _RENAMED):
        where = f"{archive.path}:{path} line {line}"
        name = inner_path(image, where)
        member = members.get(composed((root / name).as_posix()))
        if member is None:
            raise UserFacingError(
                where,
                f"names the image {name}, which is not there ({archive.path / root / name})",
                "add the image or remove the line; ingest.labelled.images_folder says where paths "
                "begin",
            )
        if name in entries:
            raise UserFacingError(where, f"names the image {name} again", "remove one of the lines")
        split, of = ("train", known(label, where)) if label else ("test", None)
        entries[name] = Entry(name, member, split, of)
    return list(entries.values())


LABELS, TESTS = "train_labels.csv", "test_images_list.csv"
BY_COMMAND = "`python -m sports_clip_pipeline.data.class_bank` writes the block"


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
