"""A published archive, packed or unpacked, behind one face that trusts nothing in it."""

from __future__ import annotations

import hashlib
import logging
import os
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.io.fingerprint import file_sha256
from sports_clip_pipeline.pipelines.ingest.config import ArchiveLimits

_log = logging.getLogger(__name__)
_AGAIN = "get it again from where it is published"
_UNPACK = "use the archive as it is published, or unpack it yourself and look at what it holds"
_RATIO_FROM_BYTES = 1024 * 1024
_CHUNK = 1024 * 1024


PUBLISHED = ("flickr8k", "sports")
"""Archives that can be fetched; their names are those that conf/base gives them."""


class _Form(Protocol):
    def sizes(self) -> dict[str, int]: ...
    def read(self, name: str, at_most: int) -> bytes: ...
    def digest(self) -> str: ...
    def close(self) -> None: ...


class Archive:
    """The files of a zip or of a folder, by their names with `/`; listed when first asked for.

    Hidden files and `__MACOSX` are left out. Anything that could reach outside, a link that
    leaves the folder, or a size beyond the limits refuses the archive as a whole.

    Attributes:
        path: the zip or the folder.
    """

    def __init__(self, path: Path, limits: ArchiveLimits | None = None) -> None:
        self.path = Path(path)
        self.limits = limits or ArchiveLimits()
        self._form: _Form | None = None
        self._sizes: dict[str, int] | None = None

    @classmethod
    def open(cls, place: str | Path, limits: ArchiveLimits | None = None) -> Archive:
        """`place`.zip or the folder `place`; where both stand, the zip, and a log line says so.

        Raises: UserFacingError: neither stands there.
        """
        folder = Path(place)
        packed = folder.with_name(f"{folder.name}.zip")
        if packed.is_file():
            if folder.is_dir():
                _log.info("%s and the folder %s both stand there: the zip is read", packed, folder)
            return cls(packed, limits)
        if folder.is_dir():
            return cls(folder, limits)
        raise UserFacingError(
            packed, f"there is no such file, and no folder {folder} either", _how_to_get(folder)
        )

    def within(self, limits: ArchiveLimits) -> Archive:
        """The same archive under other limits."""
        return Archive(self.path, limits)

    def names(self) -> tuple[str, ...]:
        """All files, sorted.

        Raises: UserFacingError: the archive cannot be read or is not to be trusted.
        """
        return tuple(self._listed())

    def read(self, name: str) -> bytes:
        """The content of one file.

        Raises:
            KeyError: no such file.
            UserFacingError: its content is damaged or longer than it claims.
        """
        size = self._listed()[name]
        content = self._opened().read(name, size)
        if len(content) != size:
            raise UserFacingError(
                f"{self.path}:{name}", f"has {len(content)} bytes where {size} are listed", _AGAIN
            )
        return content

    def digest(self) -> str:
        """sha256 of the zip, or of the names, sizes and contents of the folder's files."""
        self._listed()
        return self._opened().digest()

    def close(self) -> None:
        """Close the file; it is opened again when needed."""
        if self._form is not None:
            self._form.close()
        self._form = None

    def _opened(self) -> _Form:
        if self._form is None:
            self._form = _Folder(self.path) if self.path.is_dir() else _Zip(self.path, self.limits)
        return self._form

    def _listed(self) -> dict[str, int]:
        if self._sizes is None:
            sizes = self._opened().sizes()
            _refuse_bomb(self.path, sizes, self.limits)
            self._sizes = dict(sorted(sizes.items()))
        return self._sizes

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "limits": self.limits, "_form": None, "_sizes": None}

    def __repr__(self) -> str:
        return f"Archive({str(self.path)!r})"


class _Zip:
    """A zip file; a backslash in a member's name is read as `/`."""

    def __init__(self, path: Path, limits: ArchiveLimits) -> None:
        self.path = path
        self._limits = limits
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError) as error:
            raise UserFacingError(path, _why_no_zip(path, error), _AGAIN) from error
        self._members: dict[str, zipfile.ZipInfo] = {}

    def sizes(self) -> dict[str, int]:
        for member in self._zip.infolist():
            name = safe_name(member.filename, self.path)
            if member.is_dir() or _is_junk(name):
                continue
            self._refuse(member)
            if name in self._members:
                raise UserFacingError(f"{self.path}:{name}", "stands in it twice", _UNPACK)
            self._members[name] = member
        return {name: member.file_size for name, member in self._members.items()}

    def _refuse(self, member: zipfile.ZipInfo) -> None:
        where = f"{self.path}:{member.filename}"
        kind = stat.S_IFMT(member.external_attr >> 16)
        if kind not in (0, stat.S_IFREG):
            what = "is a link" if kind == stat.S_IFLNK else "is not a plain file"
            raise UserFacingError(where, what, _UNPACK)
        if member.flag_bits & 1:
            raise UserFacingError(where, "is encrypted", "pack it again without a password")
        ratio = member.file_size / max(member.compress_size, 1)
        if member.file_size > _RATIO_FROM_BYTES and ratio > self._limits.ratio:
            raise UserFacingError(
                where,
                f"unpacks to {ratio:.0f} times its size, more than {self._limits.ratio:g}: a bomb?",
                "unpack it yourself and look, or raise ingest.max_ratio",
            )

    def read(self, name: str, at_most: int) -> bytes:
        try:
            with self._zip.open(self._members[name]) as file:
                return file.read(at_most + 1)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError) as error:
            raise UserFacingError(f"{self.path}:{name}", f"is damaged ({error})", _AGAIN) from error

    def digest(self) -> str:
        return file_sha256(self.path)

    def close(self) -> None:
        self._zip.close()


class _Folder:
    """A folder; links may point to files inside it, never outside."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._root = path.resolve()
        self._sizes: dict[str, int] = {}

    def sizes(self) -> dict[str, int]:
        for folder, folders, files in os.walk(self._root):
            folders[:] = [name for name in folders if not _is_junk(name)]
            for name in (*files, *folders):
                self._look_at(Path(folder, name))
        return self._sizes

    def _look_at(self, path: Path) -> None:
        name = path.relative_to(self._root).as_posix()
        if _is_junk(name):
            return
        if path.is_symlink() and not path.resolve().is_relative_to(self._root):
            raise UserFacingError(
                self.path / name,
                f"is a link that leaves the folder (to {path.readlink()})",
                "put the file itself there",
            )
        if not is_text(name):
            raise UserFacingError(f"{self.path}/{name!a}", "is no UTF-8 name", "rename the file")
        if path.is_file():
            self._sizes[name] = path.stat().st_size

    def read(self, name: str, at_most: int) -> bytes:
        with (self._root / name).open("rb") as file:
            return file.read(at_most + 1)

    def digest(self) -> str:
        digest = hashlib.sha256()
        for name, size in sorted(self._sizes.items()):
            digest.update(f"{len(name)} {name} {size}\n".encode())
            with (self._root / name).open("rb") as file:
                while chunk := file.read(_CHUNK):
                    digest.update(chunk)
        return digest.hexdigest()

    def close(self) -> None:
        pass


def move_into_place(folder: Path, target: Path) -> None:
    """Rename a finished folder to `target`, which must not exist or be empty."""
    if target.is_dir():
        target.rmdir()
    target.parent.mkdir(parents=True, exist_ok=True)
    folder.replace(target)


def _how_to_get(folder: Path) -> str:
    """The remedy where neither the folder nor its zip stands there."""
    put = f"put {folder.name}.zip or the unpacked folder {folder.name}/ into {folder.parent}"
    elsewhere = "another place is --params=raw_dir=PATH"
    if folder.name not in PUBLISHED:
        return f"{put} (docs/your-own-data.md says in which form); {elsewhere}"
    return f"fetch it with `make data` (`make sample` for the sample), or {put}; {elsewhere}"


def safe_name(name: str, archive: Path) -> str:
    """The member's name with `/`, once it is sure to stay inside.

    Raises: UserFacingError: an absolute name, one with `..`, or one with control characters.
    """
    plain = name.replace("\\", "/")
    parts = PurePosixPath(plain).parts
    is_drive = len(plain) > 1 and plain[1] == ":"
    if plain.startswith("/") or is_drive or ".." in parts or not is_text(plain):
        raise UserFacingError(f"{archive}:{name!r}", "reaches out of the archive", _UNPACK)
    return plain


def is_text(name: str) -> bool:
    """Whether a name can stand in a table: UTF-8 without control characters."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return not any(ord(letter) < 32 or ord(letter) == 127 for letter in name)


def _is_junk(name: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))


def _refuse_bomb(path: Path, sizes: dict[str, int], limits: ArchiveLimits) -> None:
    largest = max(sizes, key=lambda name: sizes[name], default="")
    total = sum(sizes.values())
    for where, what, value, limit, field in (
        (str(path), "files", len(sizes), limits.members, "members"),
        (
            f"{path}:{largest}",
            "bytes",
            sizes.get(largest, 0),
            limits.member_bytes,
            "member_bytes",
        ),
        (str(path), "bytes unpacked", total, limits.total_bytes, "total_bytes"),
    ):
        if value > limit:
            raise UserFacingError(
                where,
                f"holds {value:,} {what}, more than {limit:,}: a bomb?",
                f"look at it before you unpack it, or raise ingest.limits.{field}",
            )


def _why_no_zip(path: Path, error: Exception) -> str:
    with path.open("rb") as file:
        start = file.read(8)
    size = path.stat().st_size
    if start.startswith(b"PK"):
        return f"is a zip that is truncated or damaged ({size:,} bytes; {error})"
    return f"is no zip ({size:,} bytes that start with {start!r})"
