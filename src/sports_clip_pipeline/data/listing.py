"""Listing of a corpus before any image is opened: image names, splits, labels and captions."""

import csv
import io
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from sports_clip_pipeline.data.archives import Archive, is_unsafe
from sports_clip_pipeline.data.formats import IMAGE_SUFFIXES
from sports_clip_pipeline.errors import UserFacingError


@dataclass(frozen=True)
class Entry:
    """One image that a corpus lists.

    Attributes:
        image: its unique name in the corpus.
        path: its name in the archive.
        split: `train`, `validation` or `test`; empty if the corpus publishes none.
        label: its class, or None.
        captions: in the published order; empty for a labelled corpus.
    """

    image: str
    path: str
    split: str
    label: str | None = None
    captions: tuple[str, ...] = ()


@dataclass(frozen=True)
class RejectedFile:
    """A file that is rejected unopened; `path` is empty if the image is missing."""

    image: str
    path: str
    reason: str
    detail: str


@dataclass(frozen=True)
class Listing:
    """All images of a corpus in a fixed order, and the files rejected unopened."""

    corpus: str
    entries: tuple[Entry, ...]
    rejected: tuple[RejectedFile, ...] = ()


def find_file(archive: Archive, name: str) -> str | None:
    """The least nested file with this name (case-insensitive), or None."""
    wanted = name.casefold()
    hits = [path for path in archive.names() if PurePosixPath(path).name.casefold() == wanted]
    return min(hits, key=lambda path: (path.count("/"), path), default=None)


def read_text(archive: Archive, path: str) -> str:
    """A UTF-8 text file, with or without a byte order mark.

    Raises: UserFacingError: another encoding.
    """
    try:
        return archive.read(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        what = f"is not UTF-8 text ({error.reason})"
        raise UserFacingError(f"{archive.path}:{path}", what, "save it as UTF-8") from error


def read_columns(
    archive: Archive, path: str, columns: Sequence[str], remedy: str = "add the column"
) -> list[tuple[int, list[str]]]:
    """Some columns of a CSV file, row by row, each with its line number.

    Args:
        remedy: of the error if a column is missing.
    Raises: UserFacingError: a column is missing, a row is too short, or it is no CSV.
    """
    where = f"{archive.path}:{path}"
    reader = csv.reader(io.StringIO(read_text(archive, path), newline=""))
    rows = []
    try:
        header = [field.strip() for field in next(reader, [])]
        indices = [_column_index(header, column, where, remedy) for column in columns]
        for row in filter(None, reader):
            if len(row) <= max(indices):
                needed = f"{len(row)} fields where {len(header)} are needed"
                raise UserFacingError(where, f"line {reader.line_num} has {needed}", "fix the line")
            rows.append((reader.line_num, [row[index].strip() for index in indices]))
    except csv.Error as error:
        raise UserFacingError(where, f"is no CSV ({error})", "fix the file") from error
    return rows


def _column_index(header: list[str], column: str, where: str, remedy: str) -> int:
    if column not in header:
        found = ", ".join(header)[:120] or "nothing"
        if len(header) == 1 and set(found) & set(";\t"):
            remedy = "save it with commas between the columns"
        what = f"has no column {column!r}, its first line holds: {found}"
        raise UserFacingError(where, what, remedy)
    return header.index(column)


def inner_path(name: str, where: str) -> str:
    """`name` with `/` and without `.` parts, checked against path traversal.

    Raises: UserFacingError: it is empty, absolute, or has `..`.
    """
    plain = name.replace("\\", "/")
    parts = [part for part in plain.split("/") if part not in {"", "."}]
    if not parts or is_unsafe(plain):
        what = f"names the image {name!r}, which is no path below the folder of images"
        raise UserFacingError(where, what, "write it relative to that folder")
    return "/".join(parts)


def missing_image(name: str, where: str, hint: str = "") -> UserFacingError:
    """The error of a list that names an image which is not in the archive."""
    what = f"names the image {name}, which is not there"
    return UserFacingError(where, what, f"add the image or remove the line{hint}")


def composed(text: str) -> str:
    """Unicode normal form C; file systems that use form D would make equal names differ."""
    return unicodedata.normalize("NFC", text)


def image_folder(archive: Archive, candidates: Iterable[str]) -> dict[str, str]:
    """Files of the candidate folder that has most: base name -> path in the archive.

    Args:
        candidates: ends of folder names (`Images`, `train/train`), case-insensitive.
    """
    folders: dict[str, dict[str, str]] = {}
    ends = tuple(f"/{candidate.casefold()}" for candidate in candidates)
    for path in archive.names():
        file = PurePosixPath(path)
        if f"/{file.parent}".casefold().endswith(ends):
            folders.setdefault(str(file.parent), {})[file.name] = path
    return max(folders.values(), key=len, default={})


def is_image_name(path: str) -> bool:
    """Whether the file extension is that of an image."""
    return PurePosixPath(path).suffix.casefold() in IMAGE_SUFFIXES
