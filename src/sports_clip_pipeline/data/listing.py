"""What a corpus says of itself before any image is opened: names, splits, labels, captions."""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from sports_clip_pipeline.data.archives import Archive, is_text
from sports_clip_pipeline.data.transforms import IMAGE_SUFFIXES
from sports_clip_pipeline.errors import UserFacingError


@dataclass(frozen=True)
class Entry:
    """One image that a corpus lists.

    Attributes:
        image: its unique name in the corpus.
        path: its name in the archive.
        split: `train`, `validation` or `test`; empty where the corpus publishes none.
        label: its class, or None.
        captions: in the published order; empty for a labelled corpus.
    """

    image: str
    path: str
    split: str
    label: str | None = None
    captions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Aside:
    """One file that is set aside: where, why, and what exactly was found."""

    image: str
    path: str
    reason: str
    detail: str


@dataclass(frozen=True)
class Listing:
    """All images of a corpus in a fixed order, and what is set aside unopened.

    Attributes:
        test_order: names of the published test list, in its order.
    """

    corpus: str
    entries: tuple[Entry, ...]
    aside: tuple[Aside, ...] = ()
    test_order: tuple[str, ...] = ()


def find_file(archive: Archive, name: str) -> str | None:
    """The least nested file called `name` (in any case), or None."""
    hits = [path for path in archive.names() if base_name(path).casefold() == name.casefold()]
    return min(hits, key=lambda path: (path.count("/"), path), default=None)


def read_text(archive: Archive, path: str) -> str:
    """A UTF-8 text file, with or without a byte order mark.

    Raises: UserFacingError: other bytes.
    """
    try:
        return archive.read(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserFacingError(
            f"{archive.path}:{path}", f"is not UTF-8 text ({error.reason})", "save it as UTF-8"
        ) from error


def read_columns(
    archive: Archive, path: str, columns: Sequence[str], remedy: str = "add the column"
) -> list[tuple[int, list[str]]]:
    """The wanted columns of a CSV file, row by row, each with its line number.

    Args:
        remedy: what to do where a column is missing.
    Raises: UserFacingError: a column is missing, a row is too short, or it is no CSV.
    """
    where = f"{archive.path}:{path}"
    reader = csv.reader(io.StringIO(read_text(archive, path), newline=""))
    rows = []
    try:
        header = [field.strip() for field in next(reader, [])]
        places = [_column(header, column, where, remedy) for column in columns]
        for row in reader:
            if not row:
                continue
            if len(row) <= max(places):
                what = (
                    f"line {reader.line_num} has {len(row)} fields where {len(header)} are needed"
                )
                raise UserFacingError(where, what, "mend the line")
            rows.append((reader.line_num, [row[place].strip() for place in places]))
    except csv.Error as error:
        raise UserFacingError(where, f"is no CSV ({error})", "mend the file") from error
    return rows


def _column(header: list[str], column: str, where: str, remedy: str) -> int:
    if column not in header:
        found = ", ".join(header)[:120] or "nothing"
        if len(header) == 1 and set(found) & set(";\t"):
            remedy = "save it with commas between the columns"
        raise UserFacingError(
            where, f"has no column {column!r}, its first line holds: {found}", remedy
        )
    return header.index(column)


def plain_name(name: str, where: str) -> str:
    """`name`, once it is sure to be the name of a file in the folder that lists it.

    Raises: UserFacingError: empty, absolute, or with a folder in it.
    """
    if not name or name in {".", ".."} or set(name) & set("/\\") or not is_text(name):
        raise UserFacingError(
            where, f"names the image {name!r}, which climbs out of its folder", "mend the line"
        )
    return name


def inner_path(name: str, where: str) -> str:
    """`name` with `/` and without `.` parts, once it is sure to stay below the folder it starts in.

    Raises: UserFacingError: empty, absolute, or with `..` in it.
    """
    plain = name.replace("\\", "/")
    parts = [part for part in plain.split("/") if part not in {"", "."}]
    is_drive = len(plain) > 1 and plain[1] == ":"
    if not parts or ".." in parts or plain.startswith("/") or is_drive or not is_text(plain):
        raise UserFacingError(
            where,
            f"names the image {name!r}, which is no path below the folder of images",
            "write it from that folder on",
        )
    return "/".join(parts)


def composed(text: str) -> str:
    """The text with each accented letter as one character (Unicode's form NFC).

    Some file systems keep them as two, and look the same.
    """
    return unicodedata.normalize("NFC", text)


def image_folder(archive: Archive, candidates: Iterable[str]) -> dict[str, str]:
    """Files of the fullest of the candidate folders: base name -> path in the archive.

    Args:
        archive: where to look.
        candidates: endings of folder names (`Images`, `train/train`), in any case.
    """
    folders: dict[str, dict[str, str]] = {}
    wanted = tuple(f"/{candidate.casefold()}" for candidate in candidates)
    for path in archive.names():
        folder = str(PurePosixPath(path).parent)
        if f"/{folder.casefold()}".endswith(wanted):
            folders.setdefault(folder, {})[base_name(path)] = path
    return max(folders.values(), key=len, default={})


def base_name(path: str) -> str:
    """The last part of a name in an archive."""
    return path.rpartition("/")[2]


def is_image_name(path: str) -> bool:
    """Whether the suffix is one of an image."""
    return PurePosixPath(path).suffix.casefold() in IMAGE_SUFFIXES
