"""Images to predict: a folder, one image, or a text file that lists images."""

import codecs
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, Self

from PIL import Image, UnidentifiedImageError

from sports_clip_pipeline.data.formats import IMAGE_FORMATS
from sports_clip_pipeline.data.image_store import ImageStore
from sports_clip_pipeline.data.transforms import UnusableImageError
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.pipelines.ingest.config import ArchiveLimits

MAX_BYTES = ArchiveLimits().member_bytes
_PARAMETER = "parameter predict.images"


@dataclass(frozen=True)
class ImageFile:
    """A file that may be an image: its path as given or found, and the path to open."""

    name: str
    path: str

    def read(self) -> bytes:
        """Its content. Raises: UnusableImageError: `missing`, `unreadable` or `too_large`."""
        path = Path(self.path)
        try:
            size = path.stat().st_size
            if not path.is_file():
                raise UnusableImageError("unreadable", "no regular file")
            if size > MAX_BYTES:
                raise UnusableImageError("too_large", f"{size:,} bytes, more than {MAX_BYTES:,}")
            return path.read_bytes()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise UnusableImageError("missing", "no such file") from error
        except (OSError, ValueError) as error:
            detail = getattr(error, "strerror", None) or str(error)
            raise UnusableImageError("unreadable", detail) from error


@dataclass(frozen=True)
class StoredImage:
    """An image of an image store, named by its row."""

    store: ImageStore
    row: int

    @property
    def name(self) -> str:
        """Its row as text."""
        return str(self.row)

    def read(self) -> bytes:
        """Its JPEG."""
        return self.store.get_bytes(self.row)


@dataclass(frozen=True)
class ImageFiles:
    """The images of a path (a `folder`, `file` or `list`), without all names in memory."""

    kind: str
    path: Path

    @classmethod
    def at(cls, images: str) -> Self:
        """A folder, an image file (known to Pillow), or any other UTF-8 text file: a list.

        Raises: UserFacingError: nothing is there.
        """
        path = Path(images)
        if path.is_dir():
            return cls("folder", path)
        if not path.is_file():
            remedy = "name a folder, an image, or a text file with a path a line"
            raise UserFacingError(_PARAMETER, f"nothing is at {images!r}", remedy)
        return cls("list" if not _is_image(path) and _is_text(path) else "file", path)

    def __iter__(self) -> Iterator[ImageFile]:
        """Iterate; a folder in order of names, its own files before its subfolders.

        Raises: UserFacingError: a folder cannot be read.
        """
        if self.kind == "file":
            yield ImageFile(str(self.path), str(self.path))
        elif self.kind == "folder":
            yield from _files_below(self.path)
        else:
            with self.path.open(encoding="utf-8-sig", newline=None) as lines:
                for line in lines:
                    if line.strip():
                        name = line.rstrip("\n")
                        yield ImageFile(name, str(self.path.parent / name))

    def count(self) -> int:
        """Number of images. Raises: UserFacingError: none, or a folder cannot be read."""
        count = sum(1 for _ in self)
        if not count:
            what = "has no file" if self.kind == "folder" else "names no image"
            raise UserFacingError(self.path, what, f"put images there, or change {_PARAMETER}")
        return count


def _files_below(top: Path) -> Iterator[ImageFile]:
    """Files below a folder, without hidden ones; links to folders are not followed."""

    def refuse(error: OSError) -> NoReturn:
        what = error.strerror or str(error)
        remedy = "give this user the right to read it"
        raise UserFacingError(error.filename, what, remedy) from error

    for folder, folders, files in os.walk(top, onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith("."):
                path = str(Path(folder, name))
                yield ImageFile(path, path)


def _is_image(path: Path) -> bool:
    """Whether Pillow recognises the file's first bytes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(path, formats=tuple(IMAGE_FORMATS)):
                return True
        except Image.DecompressionBombError:
            return True
        except (UnidentifiedImageError, OSError, ValueError, SyntaxError):
            return False


def _is_text(path: Path) -> bool:
    """Whether the file starts like UTF-8 text; an empty one does."""
    with path.open("rb") as file:
        head = file.read(4096)
    try:
        # Without `final`, a character that is cut at the end is no error.
        codecs.getincrementaldecoder("utf-8")().decode(head, final=len(head) < 4096)
    except UnicodeDecodeError:
        return False
    return b"\0" not in head
