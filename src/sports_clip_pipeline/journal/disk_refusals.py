"""What to tell a person when the disk refuses a write: which file, what it said, what to do.

A full disk answers a write without naming the file, and libraries wrap that answer in errors of
their own. Whoever writes a file knows its name, and wraps the writing in `naming_file`.
"""

from __future__ import annotations

import errno
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sports_clip_pipeline.errors import UserFacingError

_KEPT = "then run again: what was finished is kept"
_FREE = f"free some space, {_KEPT}"
_RIGHTS = f"give this user the right to write there, {_KEPT}"
_REMEDIES = {
    errno.ENOSPC: _FREE,
    errno.EDQUOT: _FREE,
    errno.EFBIG: f"raise the largest allowed file (`ulimit -f`), {_KEPT}",
    errno.EROFS: f"mount the disk for writing or work in a copy elsewhere, {_KEPT}",
    errno.EACCES: _RIGHTS,
    errno.EPERM: _RIGHTS,
    errno.EIO: f"check the disk, {_KEPT}",
}
_OTHER = f"mend the path, its rights or the space on the disk, {_KEPT}"
# How errors of Rust libraries (safetensors) end: "No space left on device (os error 28)".
_RUST = re.compile(r"([\w ]+) \(os error (\d+)\)")


@contextmanager
def naming_file(path: Path) -> Iterator[None]:
    """Name `path` where the disk refuses to write it within the block.

    An error that names a file elsewhere, or that is no refusal of a disk, goes its way.

    Raises: UserFacingError: the disk is full, read-only, broken or not this user's.
    """
    try:
        yield
    except UserFacingError:
        raise
    except Exception as error:
        refusal = _refusal_within(error, path)
        if refusal is None:
            raise
        raise refusal from error


def refusal_of(error: OSError, where: object) -> UserFacingError:
    """The line for a failing disk; `where` is the file."""
    what = error.strerror or str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        what = f"{what}{_room_at(Path(str(where)))}"
    return UserFacingError(where, what, _REMEDIES.get(error.errno or 0, _OTHER))


def _refusal_within(error: BaseException, path: Path) -> UserFacingError | None:
    cause: BaseException | None = error
    while cause is not None:
        answer = _disk_answer(cause)
        if answer is not None and answer.errno in _REMEDIES and _is_at(answer, path):
            return refusal_of(answer, path)
        cause = cause.__cause__ or cause.__context__
    return None


def _disk_answer(error: BaseException) -> OSError | None:
    """What the operating system said, if this error is its word or repeats it."""
    if isinstance(error, OSError):
        return error
    said = _RUST.search(str(error))
    return OSError(int(said[2]), said[1].strip()) if said else None


def _is_at(error: OSError, path: Path) -> bool:
    """Whether the error names no file, `path`, a folder above it, or its partial form beside it."""
    if error.filename is None:
        return True
    named = Path(str(error.filename)).absolute()
    folder = path.absolute().parent
    return folder in named.parents or named == folder or named in folder.parents


def _room_at(path: Path) -> str:
    """How much room the disk of `path` has, in words; nothing where it cannot be asked."""
    place = next((folder for folder in (path, *path.parents) if folder.is_dir()), None)
    if place is None:
        return ""
    try:
        return f" ({shutil.disk_usage(place).free / 1e6:.1f} MB are free)"
    except OSError:
        return ""
