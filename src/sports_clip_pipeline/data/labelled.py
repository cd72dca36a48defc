"""Readers of the labelled corpus: Kaggle lists, class folders, or a CSV of image and label."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath

from sports_clip_pipeline.data.archives import Archive
from sports_clip_pipeline.data.listing import (
    Entry,
    Listing,
    RejectedFile,
    composed,
    find_file,
    image_folder,
    inner_path,
    is_image_name,
    missing_image,
    read_columns,
)
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.pipelines.ingest.config import LabelledForm

Classes = Mapping[str, str]
"""Label in Unicode normal form C -> class of the study; empty where any label is a class."""
KAGGLE_LABELS, KAGGLE_TESTS = "train_labels.csv", "test_images_list.csv"
SIDECAR_SUFFIXES = frozenset(
    {".txt", ".csv", ".json", ".xml", ".xmp", ".aae", ".md", ".pdf", ".ini", ".db", ".mov", ".mp4"}
)
"""Extensions of files that cameras, phones and file managers put beside images."""


def list_sports(archive: Archive, labels: Sequence[str], form: LabelledForm) -> Listing:
    """List the images of the labelled corpus.

    Args:
        labels: the classes of the study; without any, every label of the corpus is a class.
        form: format of the corpus.
    Raises: UserFacingError: a malformed list, an unknown label, a missing image, or a class
        without images.
    """
    classes = {composed(label): label for label in labels}
    detect = form.form == "auto"
    if form.form == "kaggle" or (detect and find_file(archive, KAGGLE_LABELS) is not None):
        listing = _list_kaggle(archive, classes)
    elif form.form == "csv" or (detect and _has_list_on_top(archive, form)):
        listing = _list_csv(archive, classes, form)
    else:
        listing = _list_folders(archive, classes, form)
    used = {entry.label for entry in listing.entries}
    for label in labels:
        if label not in used:
            remedy = "add some, or take the class out of class_bank.classes"
            raise UserFacingError(archive.path, f"holds no image of the class {label}", remedy)
    return listing


def _class_of(label: str, where: str, classes: Classes) -> str:
    """The class with this label. Raises: UserFacingError: there is none."""
    label = composed(label)
    if classes and label not in classes:
        raise UserFacingError(
            where,
            f"has the label {label!r}, which is none of the {len(classes)} classes",
            "correct it, or add the class to class_bank.classes "
            "(`python -m sports_clip_pipeline.data.class_bank` writes the block)",
        )
    return classes.get(label, label)


def _list_folders(archive: Archive, classes: Classes, form: LabelledForm) -> Listing:
    """One folder per class, at the top or below one wrapping folder; subfolders included."""
    entries, tests, rejected = [], [], []
    for path, inside in _unwrapped(archive, classes):
        folder, slash, rest = inside.partition("/")
        if why := _why_no_image(folder if slash else "", rest or folder):
            if slash or is_image_name(path) or path.casefold().endswith(".csv"):
                rejected.append(RejectedFile(inside, path, "not_listed", why))
        elif folder == form.unlabelled_folder:
            tests.append(Entry(inside, path, "test"))
        else:
            label = _class_of(folder, f"{archive.path}:{path}", classes)
            entries.append(Entry(inside, path, "train", label))
    return Listing("sports", (*entries, *tests), tuple(rejected))


def _why_no_image(folder: str, name: str) -> str:
    """Why a file is not opened as an image of a class; empty if it is."""
    if not folder:
        return "is outside the class folders"
    if PurePosixPath(name).suffix.casefold() in SIDECAR_SUFFIXES:
        return "is no image by its name"
    if "/" in name and not is_image_name(name):
        return "is in a subfolder of its class, and is no image by its name"
    return ""


def _unwrapped(archive: Archive, classes: Classes) -> list[tuple[str, str]]:
    """Each file with its name below a wrapping folder, if there is one (and it is no class)."""
    names = archive.names()
    tops = {composed(name.partition("/")[0]) for name in names if "/" in name}
    if len(tops) == 1 and not tops & classes.keys():
        return [(name, name.partition("/")[2] or name) for name in names]
    return [(name, name) for name in names]


def _has_list_on_top(archive: Archive, form: LabelledForm) -> bool:
    """Whether the CSV list is at the top, or at the top of one wrapping folder."""
    path = find_file(archive, form.labels_file)
    if path is None or "/" not in path:
        return path is not None
    folder = path.rpartition("/")[0]
    return "/" not in folder and all(name.startswith(f"{folder}/") for name in archive.names())


def _list_csv(archive: Archive, classes: Classes, form: LabelledForm) -> Listing:
    """A CSV list of image and label; images without a label only get predictions.

    Paths are relative to the list's own folder, or to `images_folder` below it, and name the
    images. Images that are not listed are rejected, except those of `unlabelled_folder`.
    """
    path = find_file(archive, form.labels_file)
    if path is None:
        columns = f"{form.image_column},{form.label_column}"
        remedy = (
            f"put a CSV with the columns {columns} there, name yours in "
            "ingest.labelled.labels_file, or set ingest.labelled.form to folders"
        )
        raise UserFacingError(f"{archive.path}:{form.labels_file}", "is missing", remedy)
    list_name = PurePosixPath(path).name
    members = {composed(name): name for name in archive.names()}
    root = PurePosixPath(path).parent / form.images_folder
    listed = _read_list(
        archive,
        path,
        (form.image_column, form.label_column),
        lambda name: members.get(composed((root / name).as_posix())),
        "name yours in ingest.labelled.image_column and ingest.labelled.label_column",
        "; ingest.labelled.images_folder says where paths begin",
    )
    entries = [
        Entry(name, member, "train", _class_of(label, where, classes))
        if label
        else Entry(name, member, "test")
        for name, (where, member, label) in listed.items()
    ]
    listed_paths = {entry.path for entry in entries}
    rejected = []
    for member in archive.names():
        inside = member.removeprefix(path.removesuffix(list_name))
        if member in listed_paths or not is_image_name(member):
            continue
        if not inside.startswith(f"{form.unlabelled_folder}/"):
            why = f"{list_name} does not list it"
            rejected.append(RejectedFile(inside, member, "not_listed", why))
        elif inside in listed:
            what = f"has the name of another image in {list_name}"
            raise UserFacingError(f"{archive.path}:{member}", what, "rename one of them")
        else:
            entries.append(Entry(inside, member, "test"))
    return Listing("sports", tuple(entries), tuple(rejected))


def _list_kaggle(archive: Archive, classes: Classes) -> Listing:
    train = image_folder(archive, ("train/train",)) or image_folder(archive, ("train",))
    test = image_folder(archive, ("test/test",)) or image_folder(archive, ("test",))
    tests = _kaggle_list(archive, KAGGLE_TESTS, ("image",), test)
    labelled = _kaggle_list(archive, KAGGLE_LABELS, ("image", "sports"), train)
    entries = []
    for name, (where, member, label) in labelled.items():
        image = f"train/{name}" if name in tests else name
        entries.append(Entry(image, member, "train", _class_of(label, where, classes)))
    entries += [Entry(name, member, "test") for name, (_, member, _) in tests.items()]
    rejected = [
        RejectedFile(name, path, "not_listed", f"{list_name} does not list it")
        for files, listed, list_name in (
            (train, labelled, KAGGLE_LABELS),
            (test, tests, KAGGLE_TESTS),
        )
        for name, path in files.items()
        if name not in listed and is_image_name(name)
    ]
    return Listing("sports", tuple(entries), tuple(rejected))


def _kaggle_list(
    archive: Archive, name: str, columns: tuple[str, ...], images: dict[str, str]
) -> dict[str, tuple[str, str, str]]:
    path = find_file(archive, name)
    if path is None:
        remedy = "put the corpus there as on Kaggle, or set ingest.labelled.form to folders"
        raise UserFacingError(f"{archive.path}:{name}", "is missing", remedy)
    return _read_list(archive, path, columns, images.get)


def _read_list(
    archive: Archive,
    path: str,
    columns: tuple[str, ...],
    find_member: Callable[[str], str | None],
    column_remedy: str = "add the column",
    image_hint: str = "",
) -> dict[str, tuple[str, str, str]]:
    """Image -> (where it is listed, its file, its last column), in the order of the list."""
    found: dict[str, tuple[str, str, str]] = {}
    for line, row in read_columns(archive, path, columns, column_remedy):
        where = f"{archive.path}:{path} line {line}"
        name = inner_path(row[0], where)
        if (member := find_member(name)) is None:
            raise missing_image(name, where, image_hint)
        if name in found:
            raise UserFacingError(where, f"names the image {name} again", "remove one of the lines")
        found[name] = (where, member, row[-1])
    return found
