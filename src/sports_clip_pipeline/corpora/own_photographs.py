"""Somebody's own labelled photographs: a folder a class, or a CSV list beside the images.

In both forms photographs without a label may stand in a folder of their own. They only get
predictions, in the order in which they are listed here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import PurePosixPath

from sports_clip_pipeline.corpora.archive import Archive
from sports_clip_pipeline.corpora.listing import (
    Aside,
    Entry,
    Listing,
    base_name,
    composed,
    find_file,
    inner_path,
    is_image_name,
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
            f"put a CSV with the columns {columns} there, name yours in ingest.labelled.labels_file, or set "
            "ingest.labelled.form to folders",
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
                "add the image or remove the line; ingest.labelled.images_folder says where paths begin",
            )
        if name in entries:
            raise UserFacingError(where, f"names the image {name} again", "remove one of the lines")
        split, of = ("train", known(label, where)) if label else ("test", None)
        entries[name] = Entry(name, member, split, of)
    return list(entries.values())
