"""What the store did not take, kept on disk until it is uploaded.

`mlruns/outbox/<record>/` belongs to one run. Each process that writes to the run has a file of its
own there: first a line that says which run it is, then a line an operation, `{"n": …, "do": …}`.
Files to be uploaded stand beside, in `files/`. Lines are only ever added; a last line without its
end was being written when its process died, and is ignored.
"""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.tracking.operations import File, Operation, Register, from_json, to_json

FORM = 1
_DROP = "delete the folder to give this record up"


@dataclass(frozen=True)
class Header:
    """Which run a record is of.

    Attributes:
        uri: the store. experiment_id, run_id: in it. record: the run's own tag. name: the run's.
        owner: whether the file is of the process that ends the run; it is read last.
    """

    uri: str
    experiment_id: str
    run_id: str
    record: str
    name: str
    owner: bool = True


@dataclass(frozen=True)
class Kept:
    """A record that waits: its header, its folder, and its operations in the order of doing."""

    header: Header
    folder: Path
    operations: tuple[Operation, ...]


class Outbox:
    """Where one process keeps operations of one run; nothing is created before the first."""

    def __init__(self, place: Path, header: Header) -> None:
        """`place`: the outbox of the project."""
        self.folder = place / header.record
        self._header = header
        self._file: IO[bytes] | None = None

    @property
    def is_used(self) -> bool:
        """Whether something is kept."""
        return self._file is not None

    def keep(self, number: int, operation: Operation) -> None:
        """Add an operation; its files are linked or copied, since later runs replace them.

        Raises: OSError: the disk refuses.
        """
        if self._file is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._file = (self.folder / f"{uuid.uuid4().hex}.jsonl").open("ab", buffering=0)
            self._write({"form": FORM, **dataclasses.asdict(self._header)})
        if isinstance(operation, (File, Register)):
            operation = self._with_own_files(operation)
        self._write({"n": number, **to_json(operation)})

    def close(self) -> None:
        """Let what is kept reach the disk."""
        if self._file is not None:
            os.fsync(self._file.fileno())
            self._file.close()

    def _with_own_files(self, operation: File | Register) -> File | Register:
        source = Path(operation.source)
        kept = self.folder / "files" / uuid.uuid4().hex / source.name
        kept.parent.mkdir(parents=True)
        if source.is_dir():
            shutil.copytree(source, kept, copy_function=_link_or_copy)
        else:
            _link_or_copy(str(source), str(kept))
        return dataclasses.replace(operation, source=str(kept.relative_to(self.folder)))

    def _write(self, line: dict[str, Any]) -> None:
        assert self._file is not None
        content = json.dumps(line).encode() + b"\n"
        if self._file.write(content) != len(content):
            raise OSError(errno.ENOSPC, "No space left on device", str(self.folder))


def kept_records(place: Path) -> list[Path]:
    """The folders of the records that wait in the outbox `place`, the oldest first."""
    found = [folder for folder in place.glob("*/") if any(folder.glob("*.jsonl"))]
    return sorted(found, key=lambda folder: (folder.stat().st_ctime, folder.name))


def read_kept(folder: Path) -> Kept | None:
    """A record's operations, those of the run's own process last; None where no line is whole.

    Raises: UserFacingError: a whole line says what it should not.
    """
    parts = [part for path in sorted(folder.glob("*.jsonl")) if (part := _read_part(path, folder))]
    if not parts:
        return None
    parts.sort(key=lambda part: part[0].owner)
    operations = tuple(operation for _, found in parts for operation in found)
    return Kept(parts[-1][0], folder, operations)


def _read_part(path: Path, folder: Path) -> tuple[Header, list[Operation]] | None:
    lines = list(_whole_lines(path))
    if not lines:
        return None
    header = {key: value for key, value in lines[0].items() if key != "form"}
    try:
        if lines[0]["form"] != FORM:
            raise ValueError(f"form {lines[0]['form']!r}, wanted {FORM}")
        rows = sorted(lines[1:], key=lambda line: int(line["n"]))
        found = [_own(from_json({k: row[k] for k in row if k != "n"}), folder) for row in rows]
        return Header(**header), found
    except (KeyError, TypeError, ValueError) as error:
        raise UserFacingError(path, f"is no record of a run ({error!r})", _DROP) from error


def _whole_lines(path: Path) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(path.read_bytes().splitlines(keepends=True), start=1):
        if not line.endswith(b"\n"):
            return
        try:
            yield json.loads(line)
        except ValueError as error:
            raise UserFacingError(
                f"{path}, line {number}", f"is no JSON ({error})", _DROP
            ) from error


def _own(operation: Operation, folder: Path) -> Operation:
    """The operation with the place of its files, which must be inside the record's folder."""
    if not isinstance(operation, (File, Register)):
        return operation
    source = (folder / operation.source).resolve()
    if folder.resolve() not in source.parents:
        raise ValueError(f"a file outside the record: {operation.source!r}")
    return dataclasses.replace(operation, source=str(source))


def _link_or_copy(source: str, target: str) -> str:
    """Every file of a study is replaced by renaming, so a link keeps what it was."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target
