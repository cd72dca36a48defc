"""Reads untrusted archives (a zip or a folder): path traversal, links and zip bombs are refused."""

from __future__ import annotations

import hashlib
import logging
import os
import stat
import zipfile
import zlib
from pathlib import Path
from typing import Any

from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.io.fingerprint import file_sha256
from sports_clip_pipeline.pipelines.ingest.config import ArchiveLimits

_log = logging.getLogger(__name__)
_DOWNLOAD_AGAIN = "get it again from where it is published"
_INSPECT = "use the archive as it is published, or unpack it yourself and inspect its content"
_ZIP_ERRORS = (zipfile.BadZipFile, NotImplementedError)
_RATIO_MIN_BYTES = 1024 * 1024  # smaller files are not checked for their compression ratio

PUBLISHED = ("flickr8k", "sports")
"""Names (in conf/base) of the archives that can be downloaded."""


class Archive:
    """The files of a zip or of a folder, by their names with `/`; listed on first use.

    Hidden files and `__MACOSX` are left out; a backslash in a name is read as `/`. The whole
    archive is refused if a name or link leads outside, or if a size exceeds the limits.
    """

    def __init__(self, path: Path, limits: ArchiveLimits | None = None) -> None:
        self.path = Path(path)
        self.limits = limits or ArchiveLimits()
        self._zip: zipfile.ZipFile | None = None
        self._files: dict[str, Any] | None = None  # name -> (zip member or path, size)

    @classmethod
    def open(cls, path: str | Path, limits: ArchiveLimits | None = None) -> Archive:
        """`path`.zip or the folder `path`; if both exist, the zip, and a message is logged.

        Raises: UserFacingError: neither exists.
        """
        folder = Path(path)
        packed = folder.with_name(f"{folder.name}.zip")
        if packed.is_file():
            if folder.is_dir():
                _log.info("both %s and the folder %s exist: the zip is read", packed, folder)
            return cls(packed, limits)
        if folder.is_dir():
            return cls(folder, limits)
        what = f"there is no such file, and no folder {folder} either"
        raise UserFacingError(packed, what, _where_to_get(folder))

    def within(self, limits: ArchiveLimits) -> Archive:
        """The same archive with other limits."""
        return Archive(self.path, limits)

    def names(self) -> tuple[str, ...]:
        """Names of all files, sorted.

        Raises: UserFacingError: the archive cannot be read, is unsafe or exceeds the limits.
        """
        return tuple(self._list())

    def read(self, name: str) -> bytes:
        """Content of one file.

        Raises:
            KeyError: no such file.
            UserFacingError: its content is damaged or not as long as listed.
        """
        file, size = self._list()[name]
        where = f"{self.path}:{name}"
        if isinstance(file, Path):
            with file.open("rb") as opened:
                content = opened.read(size + 1)
        else:
            try:
                with self._opened_zip().open(file) as member:
                    content = member.read(size + 1)
            except (*_ZIP_ERRORS, zlib.error, EOFError, OSError) as error:
                raise UserFacingError(where, f"is damaged ({error})", _DOWNLOAD_AGAIN) from error
        if len(content) != size:
            what = f"has {len(content)} bytes where {size} are listed"
            raise UserFacingError(where, what, _DOWNLOAD_AGAIN)
        return content

    def digest(self) -> str:
        """sha256 of the zip, or of the names, sizes and contents of the folder's files."""
        files = self._list()
        if not self.path.is_dir():
            return file_sha256(self.path)
        digest = hashlib.sha256()
        for name, (path, size) in files.items():
            digest.update(f"{len(name)} {name} {size}\n".encode())
            with path.open("rb") as file:
                while chunk := file.read(1024 * 1024):
                    digest.update(chunk)
        return digest.hexdigest()

    def _list(self) -> dict[str, Any]:
        if self._files is None:
            files = self._list_folder() if self.path.is_dir() else self._list_zip()
            _check_limits(self.path, {name: size for name, (_, size) in files.items()}, self.limits)
            self._files = dict(sorted(files.items()))
        return self._files

    def _opened_zip(self) -> zipfile.ZipFile:
        if self._zip is None:
            try:
                self._zip = zipfile.ZipFile(self.path)
            except (*_ZIP_ERRORS, UnicodeDecodeError) as error:
                what = _why_not_a_zip(self.path, error)
                raise UserFacingError(self.path, what, _DOWNLOAD_AGAIN) from error
        return self._zip

    def _list_zip(self) -> dict[str, tuple[zipfile.ZipInfo, int]]:
        members: dict[str, tuple[zipfile.ZipInfo, int]] = {}
        for member in self._opened_zip().infolist():
            name = safe_name(member.filename, self.path)
            if member.is_dir() or _is_hidden(name):
                continue
            _check_member(member, self.path, self.limits)
            if name in members:
                raise UserFacingError(f"{self.path}:{name}", "is in it twice", _INSPECT)
            members[name] = member, member.file_size
        return members

    def _list_folder(self) -> dict[str, tuple[Path, int]]:
        files: dict[str, tuple[Path, int]] = {}
        root = self.path.resolve()
        for folder, subfolders, file_names in os.walk(root):
            subfolders[:] = [name for name in subfolders if not _is_hidden(name)]
            for path in (Path(folder, name) for name in (*file_names, *subfolders)):
                name = path.relative_to(root).as_posix()
                if _is_hidden(name):
                    continue
                if path.is_symlink() and not path.resolve().is_relative_to(root):
                    what = f"is a link that leaves the folder (to {path.readlink()})"
                    raise UserFacingError(self.path / name, what, "put the file itself there")
                if not is_text(name):
                    where = f"{self.path}/{name!a}"
                    raise UserFacingError(where, "is no UTF-8 name", "rename the file")
                if path.is_file():
                    files[name] = path, path.stat().st_size
        return files

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "limits": self.limits, "_zip": None, "_files": None}

    def __repr__(self) -> str:
        return f"Archive({str(self.path)!r})"


def move_into_place(folder: Path, target: Path) -> None:
    """Rename a complete folder to `target`, which must be missing or empty."""
    if target.is_dir():
        target.rmdir()
    target.parent.mkdir(parents=True, exist_ok=True)
    folder.replace(target)


def safe_name(name: str, archive: Path) -> str:
    """A member's name with `/`, checked against path traversal.

    Raises: UserFacingError: the name is unsafe.
    """
    plain = name.replace("\\", "/")
    if is_unsafe(plain):
        raise UserFacingError(f"{archive}:{name!r}", "reaches out of the archive", _INSPECT)
    return plain


def is_unsafe(name: str) -> bool:
    """Whether a name with `/` is absolute, has `..`, or is not plain text."""
    is_absolute = name.startswith("/") or name[1:2] == ":"
    return is_absolute or ".." in name.split("/") or not is_text(name)


def is_text(name: str) -> bool:
    """Whether a name is UTF-8 without control characters."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return not any(ord(letter) < 32 or ord(letter) == 127 for letter in name)


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))


def _check_member(member: zipfile.ZipInfo, archive: Path, limits: ArchiveLimits) -> None:
    where = f"{archive}:{member.filename}"
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        raise UserFacingError(where, "is a link or no regular file", _INSPECT)
    if member.flag_bits & 1:
        raise UserFacingError(where, "is encrypted", "pack it again without a password")
    ratio = member.file_size / max(member.compress_size, 1)
    if member.file_size > _RATIO_MIN_BYTES and ratio > limits.ratio:
        what = f"unpacks to {ratio:.0f} times its size, more than {limits.ratio:g}: a zip bomb?"
        remedy = "unpack and inspect it yourself, or raise ingest.limits.ratio"
        raise UserFacingError(where, what, remedy)


def _check_limits(path: Path, sizes: dict[str, int], limits: ArchiveLimits) -> None:
    largest = max(sizes, key=sizes.__getitem__, default="")
    for where, unit, value, field in (
        (f"{path}", "files", len(sizes), "members"),
        (f"{path}:{largest}", "bytes", sizes.get(largest, 0), "member_bytes"),
        (f"{path}", "bytes unpacked", sum(sizes.values()), "total_bytes"),
    ):
        limit = getattr(limits, field)
        if value > limit:
            what = f"holds {value:,} {unit}, more than {limit:,}: a zip bomb?"
            remedy = f"inspect it before you unpack it, or raise ingest.limits.{field}"
            raise UserFacingError(where, what, remedy)


def _where_to_get(folder: Path) -> str:
    """The remedy if neither the folder nor its zip exists."""
    put = f"put {folder.name}.zip or the unpacked folder {folder.name}/ into {folder.parent}"
    elsewhere = "--params=raw_dir=PATH sets another folder"
    if folder.name not in PUBLISHED:
        return f"{put} (docs/your-own-data.md describes the formats); {elsewhere}"
    return f"download it with `make data` (`make sample` for the sample), or {put}; {elsewhere}"


def _why_not_a_zip(path: Path, error: Exception) -> str:
    with path.open("rb") as file:
        start, size = file.read(8), path.stat().st_size
    if start.startswith(b"PK"):
        return f"is a truncated or damaged zip ({size:,} bytes; {error})"
    return f"is no zip ({size:,} bytes that start with {start!r})"
