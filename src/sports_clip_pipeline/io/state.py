"""The journal's interface, which is also its no-op form for tests and notebooks."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
import uuid
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from sports_clip_pipeline.errors import UserFacingError

if TYPE_CHECKING:
    import numpy as np
if TYPE_CHECKING:
    import numpy as np


T = TypeVar("T")


class Tracker(Protocol):
    """Where live metrics go. The tracking hook attaches one; without it they go nowhere."""

    def log_metrics(self, metrics: dict[str, float], step: int | None) -> None:
        """Log metrics on the run at hand."""

    def log_trial(self, row: dict[str, Any], plan: str) -> None:
        """Log a finished trial, a row of the trials table, as a child run."""


class Journal:
    """Progress, resumable state and live metrics of one node; this form keeps state in memory.

    State is addressed by a key (`arms/notebook_mlp/0.01/3`) and a fingerprint of everything it
    depends on; state under another fingerprint is as good as absent.

    Attributes:
        folder: where the state is on disk, for processes that share it; None in memory.
    """

    folder: Path | None = None

    def __init__(self) -> None:
        self._tracker: Tracker | None = None
        self._states: dict[str, tuple[str, dict[str, np.ndarray], dict[str, Any]]] = {}
        self._workspaces: dict[tuple[str, str], Path] = {}

    def attach(self, tracker: Tracker | None) -> None:
        """Send metrics to `tracker` from now on; None sends them nowhere."""
        self._tracker = tracker

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Log metrics (flat names such as `pretrain/loss`) on the run at hand."""
        if self._tracker is not None:
            self._tracker.log_metrics(metrics, step)

    def log_trial(self, row: dict[str, Any], plan: str) -> None:
        """Log a finished trial, a row of the trials table of a plan, as a child run."""
        if self._tracker is not None:
            self._tracker.log_trial(row, plan)

    def progress(
        self, items: Iterable[T], desc: str, total: int | None = None, unit: str = "it"
    ) -> Iterator[T]:
        """Iterate with a progress bar where there is a terminal; this form shows none."""
        yield from items

    def save_state(
        self,
        key: str,
        fingerprint: str,
        arrays: dict[str, np.ndarray] | None = None,
        meta: dict[str, Any] | None = None,
        *,
        keep_former: bool = False,
    ) -> None:
        """Keep named arrays and a JSON-like `meta` under `key`, whole or not at all.

        Args:
            keep_former: keep the state before this one too, for the case that this one is damaged.
        """
        self._states[key] = (fingerprint, dict(arrays or {}), dict(meta or {}))

    def load_state(
        self, key: str, fingerprint: str
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
        """What `save_state` kept under this key and fingerprint, or None."""
        kept = self._states.get(key)
        return None if kept is None or kept[0] != fingerprint else (kept[1], kept[2])

    def drop_state(self, key: str) -> None:
        """Forget what is kept under `key`; nothing kept is no error."""
        self._states.pop(key, None)

    def workspace(self, name: str, fingerprint: str) -> Path:
        """A folder that survives runs as long as the fingerprint stays; emptied when it changes."""
        place = (name, fingerprint)
        if place not in self._workspaces:
            self._workspaces[place] = Path(tempfile.mkdtemp(prefix="journal-"))
        return self._workspaces[place]

    @contextmanager
    def counting(self, desc: str, total: int, unit: str = "it") -> Iterator[Counter]:
        """A progress bar to advance by hand, `with journal.counting(…) as bar: bar.update()`."""
        yield Counter()


class Counter:
    """A progress bar's hand-driven face; this form shows nothing."""

    def update(self, n: int = 1) -> None:
        """Advance by `n`."""

    def set_postfix_str(self, text: str) -> None:
        """Show `text` at the end of the bar."""


_KEY = re.compile(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*")


class DiskJournal(Journal):
    """State as safetensors files under `folder`: one file a key, its JSON in the file's header.

    A state file is written beside its place and renamed into it, and carries a checksum of its
    arrays; a damaged one is reported, and treated as absent.
    """

    folder: Path

    def __init__(self, folder: str | Path) -> None:
        super().__init__()
        self.folder = Path(folder)

    def progress(
        self, items: Iterable[T], desc: str, total: int | None = None, unit: str = "it"
    ) -> Iterator[T]:
        """Iterate with a progress bar on standard error where that is a terminal."""
        from tqdm import tqdm

        yield from tqdm(items, desc=desc, total=total, unit=unit, disable=_quiet(), leave=False)

    @contextmanager
    def counting(self, desc: str, total: int, unit: str = "it") -> Iterator[Counter]:
        """A progress bar to advance by hand."""
        from tqdm import tqdm

        with tqdm(total=total, desc=desc, unit=unit, disable=_quiet(), leave=False) as bar:
            yield cast(Counter, bar)

    def save_state(
        self,
        key: str,
        fingerprint: str,
        arrays: dict[str, np.ndarray] | None = None,
        meta: dict[str, Any] | None = None,
        *,
        keep_former: bool = False,
    ) -> None:
        """Keep named arrays and a JSON-like `meta` under `key`, whole or not at all.

        Args:
            keep_former: keep the state before this one too, for the case that this one is damaged.
        """
        import numpy as np
        from safetensors.numpy import save

        contiguous = {name: np.asarray(value, order="C") for name, value in (arrays or {}).items()}
        header = {
            "fingerprint": fingerprint,
            "meta": json.dumps(meta or {}),
            "checksum": _checksum(contiguous),
        }
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        content = save(contiguous, metadata=header)
        if keep_former and path.exists():
            path.replace(_former(path))  # a kill after this leaves the former one, which is read
        write_atomically(path, content)

    def load_state(
        self, key: str, fingerprint: str
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
        """What `save_state` kept under this key and fingerprint, or None."""
        path = self._path(key)
        for place in (path, _former(path)):
            kept = _read_state(place, fingerprint) if place.exists() else None
            if kept is not None:
                return kept
        return None

    def drop_state(self, key: str) -> None:
        """Forget what is kept under `key`; nothing kept is no error."""
        path = self._path(key)
        for place in (path, _former(path)):
            place.unlink(missing_ok=True)

    def workspace(self, name: str, fingerprint: str) -> Path:
        """A folder that survives runs as long as the fingerprint stays; emptied when it changes."""
        place = self._path(name).with_suffix("")
        mark = place / ".fingerprint"
        if not mark.exists() or mark.read_text() != fingerprint:
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir(parents=True)
            write_atomically(mark, fingerprint.encode())
        return place

    def _path(self, key: str) -> Path:
        if not _KEY.fullmatch(key) or ".." in key:
            raise ValueError(f"a state key is letters, digits, '_', '-', '.' and '/', got {key!r}")
        return self.folder / f"{key}.safetensors"


class FollowingJournal(DiskJournal):
    """Reads what another process keeps in the same folder; keeps nothing, and shows no progress."""

    @contextmanager
    def counting(self, desc: str, total: int, unit: str = "it") -> Iterator[Counter]:
        """Show no bar."""
        with Journal.counting(self, desc, total, unit) as bar:
            yield bar

    def save_state(self, *arguments: Any, **named: Any) -> None:
        """Keep nothing."""


def _former(path: Path) -> Path:
    """Where the state before the last one is kept."""
    return path.with_name(f".{path.name}.former")


def _read_state(
    path: Path, fingerprint: str
) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
    """A state file's content; None where its fingerprint is another or, with a warning, damaged."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
            if header.get("fingerprint") != fingerprint:
                return None
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if header["checksum"] != _checksum(arrays):
            raise ValueError("checksum differs")
        return arrays, json.loads(header["meta"])
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        what = f"{path}: damaged state ({error}); the one before it is used, or it is made again"
        warnings.warn(what, stacklevel=3)
        return None


def write_atomically(path: Path, content: bytes) -> None:
    """Write beside `path`, flush to the disk, rename into place: whole or not at all.

    Raises: UserFacingError: the disk refuses.
    """
    with naming_file(path), replacing_file(path) as partial, partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def replacing_file(path: Path) -> Iterator[Path]:
    """A place beside `path` to write to; renamed to `path` when the block ends without error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{_own_mark()}.partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)  # renaming a link onto itself leaves both names


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """A new folder to fill, which takes the place of `path` when the block ends without error.

    A failure leaves the old folder in place; a kill the old one, the new one or none, never a
    mixture of both.

    Raises: UserFacingError: the disk refuses.
    """
    with naming_file(path), _replacing_folder(path) as partial:
        yield partial


@contextmanager
def _replacing_folder(path: Path) -> Iterator[Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{_own_mark()}.partial")
    former = path.with_name(f".{path.name}.{_own_mark()}.former")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        yield partial
        if path.exists():
            path.replace(former)
        try:
            partial.replace(path)
        except OSError:
            if former.exists():
                former.replace(path)
            raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(former, ignore_errors=True)


def _own_mark() -> str:
    """What no other writer's partial file has in its name, on this machine or another."""
    return f"{os.getpid()}-{uuid.uuid4().hex[:8]}"


def _checksum(arrays: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        value = arrays[name]
        digest.update(f"{name} {value.dtype} {value.shape}".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()


def _quiet() -> bool:
    return not sys.stderr.isatty()


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
