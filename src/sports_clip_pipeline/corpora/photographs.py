"""Photographs of one's own: where they are, and their bytes, one at a time."""

from __future__ import annotations

import os
import stat
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from sports_clip_pipeline.corpora.store import ImageStore
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.pipelines.ingest.config import ArchiveLimits
from sports_clip_pipeline.preprocessing.upright import FORMATS, UnusableImageError

MAX_BYTES = ArchiveLimits().member_bytes
_PARAMETER = "parameter predict.images"


@dataclass(frozen=True)
class PhotographFile:
    """A file that may be a photograph.

    Attributes:
        name: what it is called in tables: its path as it was given or found.
        path: the same, as it is opened.
    """

    name: str
    path: str

    def read(self) -> bytes:
        """Its content. Raises: UnusableImageError: `missing`, `unreadable` or `too_large`."""
        try:
            status = Path(self.path).stat()
            if not stat.S_ISREG(status.st_mode):
                raise UnusableImageError("unreadable", "no plain file")
            if status.st_size > MAX_BYTES:
                what = f"{status.st_size:,} bytes, more than {MAX_BYTES:,}"
                raise UnusableImageError("too_large", what)
            return Path(self.path).read_bytes()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise UnusableImageError("missing", "no such file") from error
        except (OSError, ValueError) as error:
            what = getattr(error, "strerror", None) or str(error)
            raise UnusableImageError("unreadable", what) from error


@dataclass(frozen=True)
class StoredPhotograph:
    """A photograph of a corpus's store."""

    store: ImageStore
    row: int

    @property
    def name(self) -> str:
        """Its row, as a text."""
        return str(self.row)

    def read(self) -> bytes:
        """Its JPEG."""
        return self.store.get_bytes(self.row)


@dataclass(frozen=True)
class Photographs:
    """The photographs that a path means; never all of their names in memory.

    Attributes:
        kind: `folder`, `file` or `list`. path: as it was given.
    """

    kind: str
    path: Path

    @classmethod
    def at(cls, images: str) -> Photographs:
        """What a path means: a folder, one photograph, or a text file that lists photographs.

        A file that Pillow knows is a photograph; any other file of UTF-8 text is a list.

        Raises: UserFacingError: nothing is there, or it can be none of them.
        """
        path = Path(images)
        if path.is_dir():
            return cls("folder", path)
        if not path.is_file():
            wanted = "name a folder, a photograph, or a text file with a path a line"
            raise UserFacingError(_PARAMETER, f"nothing is at {images!r}", wanted)
        return cls("list" if not _known(path) and _is_text(path) else "file", path)

    def __iter__(self) -> Iterator[PhotographFile]:
        """Each in turn; those of a folder by name, its own files before its subfolders.

        Raises: UserFacingError: a folder cannot be read.
        """
        if self.kind == "file":
            yield PhotographFile(str(self.path), str(self.path))
        elif self.kind == "list":
            yield from self._listed()
        else:
            yield from _within(str(self.path))

    def count(self) -> int:
        """How many there are. Raises: UserFacingError: none, or a folder cannot be read."""
        found = sum(1 for _ in self)
        if not found:
            what = "has no file" if self.kind == "folder" else "names no photograph"
            raise UserFacingError(self.path, what, f"put photographs there, or change {_PARAMETER}")
        return found

    def _listed(self) -> Iterator[PhotographFile]:
        place = self.path.parent
        with self.path.open(encoding="utf-8-sig", newline=None) as lines:
            for line in lines:
                name = line.rstrip("\n")
                if name.strip():
                    yield PhotographFile(name, str(place / name))


def _within(folder: str) -> Iterator[PhotographFile]:
    """Files below a folder; hidden ones are left out, and links to folders are not followed."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        what = error.strerror or str(error)
        raise UserFacingError(folder, what, "give this user the right to read it") from error
    visible = [entry for entry in entries if not entry.name.startswith(".")]
    folders = [entry for entry in visible if entry.is_dir(follow_symlinks=False)]
    for entry in visible:
        if not entry.is_dir():
            yield PhotographFile(entry.path, entry.path)
    for entry in folders:
        yield from _within(entry.path)


def _known(path: Path) -> bool:
    """Whether Pillow knows the file's first bytes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(path, formats=FORMATS):
                return True
        except Image.DecompressionBombError:
            return True
        except (UnidentifiedImageError, OSError, ValueError, SyntaxError):
            return False


def _is_text(path: Path) -> bool:
    """Whether the file begins like UTF-8 text; an empty one is a list of nothing."""
    with path.open("rb") as file:
        head = file.read(4096)
    if b"\0" in head:
        return False
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start >= len(head) - 3 and len(head) == 4096  # cut within a character
    return True
