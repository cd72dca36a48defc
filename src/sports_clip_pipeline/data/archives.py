"""Reads untrusted archives (a zip or a folder): path traversal, links and zip bombs are refused."""

import hashlib
import logging
import stat
import zipfile
import zlib
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.io.fingerprint import file_sha256
from sports_clip_pipeline.pipelines.ingest.config import CORPORA, ArchiveLimits

_log = logging.getLogger(__name__)
_DOWNLOAD_AGAIN = "get it again from where it is published"
_INSPECT = "use the archive as it is published, or unpack it yourself and inspect its content"
_ZIP_ERRORS = (zipfile.BadZipFile, NotImplementedError)
_RATIO_MIN_BYTES = 1024 * 1024  # smaller files are not checked for their compression ratio


@dataclass
class Archive:
    """The files of a zip or of a folder, by their names with `/`; listed on first use.

    Hidden files and `__MACOSX` are left out; a backslash in a name is read as `/`. The whole
    archive is refused if a name or link leads outside, or if a size exceeds the limits.
    """

    path: Path
    limits: ArchiveLimits = field(default_factory=ArchiveLimits)

    @classmethod
    def open(cls, path: Path) -> Self:
        """`path`.zip or the folder `path`; if both exist, the zip, and a message is logged.

        Raises: UserFacingError: neither exists.
        """
        found = find_archive(path)
        if found is None:
            what = f"there is no such file, and no folder {path} with files either"
            raise UserFacingError(path.with_name(f"{path.name}.zip"), what, _where_to_get(path))
        if found != path and path.is_dir():
            _log.info("both %s and the folder %s exist: the zip is read", found, path)
        return cls(found)

    def within(self, limits: ArchiveLimits) -> Self:
        """The same archive with other limits."""
        return replace(self, limits=limits)

    def names(self) -> tuple[str, ...]:
        """Names of all files, sorted.

        Raises: UserFacingError: the archive cannot be read, is unsafe or exceeds the limits.
        """
        return tuple(self._files)

    def read(self, name: str) -> bytes:
        """Content of one file.

        Raises:
            KeyError: no such file.
            UserFacingError: its content is damaged or not as long as listed.
        """
        file, size = self._files[name]
        where = f"{self.path}:{name}"
        if isinstance(file, Path):
            with file.open("rb") as opened:
                content = opened.read(size + 1)
        else:
            try:
                with self._zip.open(file) as member:
                    content = member.read(size + 1)
            except (*_ZIP_ERRORS, zlib.error, EOFError, OSError) as error:
                raise UserFacingError(where, f"is damaged ({error})", _DOWNLOAD_AGAIN) from error
        if len(content) != size:
            what = f"has {len(content)} bytes where {size} are listed"
            raise UserFacingError(where, what, _DOWNLOAD_AGAIN)
        return content

    def digest(self) -> str:
        """sha256 of the zip, or of the names, sizes and contents of the folder's files."""
        files = self._files
        if not self.path.is_dir():
            return file_sha256(self.path)
        digest = hashlib.sha256()
        for name, (path, size) in files.items():
            digest.update(f"{len(name)} {name} {size}\n".encode())
            digest.update(path.read_bytes())
        return digest.hexdigest()

    @cached_property
    def _files(self) -> dict[str, tuple[Any, int]]:
        """Name -> zip member or path, and size; sorted by name."""
        files = self._list_folder() if self.path.is_dir() else self._list_zip()
        _check_limits(self.path, {name: size for name, (_, size) in files.items()}, self.limits)
        return dict(sorted(files.items()))

    @cached_property
    def _zip(self) -> zipfile.ZipFile:
        try:
            return zipfile.ZipFile(self.path)
        except (*_ZIP_ERRORS, UnicodeDecodeError) as error:
            what = _why_not_a_zip(self.path, error)
            raise UserFacingError(self.path, what, _DOWNLOAD_AGAIN) from error

    def _list_zip(self) -> dict[str, tuple[Any, int]]:
        members: dict[str, tuple[Any, int]] = {}
        for member in self._zip.infolist():
            name = member.filename.replace("\\", "/")
            if is_unsafe(name):
                where = f"{self.path}:{member.filename!r}"
                raise UserFacingError(where, "reaches out of the archive", _INSPECT)
            if member.is_dir() or _is_hidden(name):
                continue
            _check_member(member, self.path, self.limits)
            if name in members:
                raise UserFacingError(f"{self.path}:{name}", "is in it twice", _INSPECT)
            members[name] = member, member.file_size
        return members

    def _list_folder(self) -> dict[str, tuple[Any, int]]:
        files: dict[str, tuple[Any, int]] = {}
        root = self.path.resolve()
        for path in root.rglob("*"):  # which does not follow links to folders
            name = path.relative_to(root).as_posix()
            if _is_hidden(name):
                continue
            if path.is_symlink() and not path.resolve().is_relative_to(root):
                what = f"is a link that leaves the folder (to {path.readlink()})"
                raise UserFacingError(self.path / name, what, "put the file itself there")
            if not _is_text(name):
                where = f"{self.path}/{name!a}"
                raise UserFacingError(where, "is no UTF-8 name", "rename the file")
            if path.is_file():
                files[name] = path, path.stat().st_size
        return files

    def __reduce__(self) -> tuple[type[Self], tuple[Path, ArchiveLimits]]:
        return type(self), (self.path, self.limits)


def find_archive(path: Path) -> Path | None:
    """`path`.zip, else the folder `path` if there is anything in it, else None."""
    packed = path.with_name(f"{path.name}.zip")
    if packed.is_file():
        return packed
    return path if path.is_dir() and any(path.iterdir()) else None


def is_unsafe(name: str) -> bool:
    """Whether a name with `/` is absolute, has `..`, or is not plain text."""
    is_absolute = name.startswith("/") or name[1:2] == ":"
    return is_absolute or ".." in name.split("/") or not _is_text(name)


def _is_text(name: str) -> bool:
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
    for where, unit, value, limit_name in (
        (f"{path}", "files", len(sizes), "members"),
        (f"{path}:{largest}", "bytes", sizes.get(largest, 0), "member_bytes"),
        (f"{path}", "bytes unpacked", sum(sizes.values()), "total_bytes"),
    ):
        limit = getattr(limits, limit_name)
        if value > limit:
            what = f"holds {value:,} {unit}, more than {limit:,}: a zip bomb?"
            remedy = f"inspect it before you unpack it, or raise ingest.limits.{limit_name}"
            raise UserFacingError(where, what, remedy)


def _where_to_get(folder: Path) -> str:
    """The remedy if neither the folder nor its zip exists."""
    put = f"put {folder.name}.zip or the unpacked folder {folder.name}/ into {folder.parent}"
    elsewhere = "--params=raw_dir=PATH sets another folder"
    if folder.name not in CORPORA:
        return f"{put} (docs/your-own-data.md describes the formats); {elsewhere}"
    return f"download it with `make data` (`make sample` for the sample), or {put}; {elsewhere}"


def _why_not_a_zip(path: Path, error: Exception) -> str:
    with path.open("rb") as file:
        start, size = file.read(8), path.stat().st_size
    if start.startswith(b"PK"):
        return f"is a truncated or damaged zip ({size:,} bytes; {error})"
    return f"is no zip ({size:,} bytes that start with {start!r})"
