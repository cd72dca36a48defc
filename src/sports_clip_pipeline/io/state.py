"""Resumable state of a node (checkpoints with fingerprints), and atomic writes of files."""

import hashlib
import json
import os
import re
import shutil
import tempfile
import uuid
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sports_clip_pipeline.errors import UserFacingError

if TYPE_CHECKING:
    import numpy as np

State = tuple[dict[str, "np.ndarray"], dict[str, Any]]
"""Named arrays and JSON-like metadata."""
_KEY = re.compile(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*")


class RunState:
    """Progress bars, resumable state and live metrics of one node.

    State is addressed by a key (`trials/notebook_mlp/0.01/3`) and a fingerprint of everything it
    depends on; state with another fingerprint is not loaded. On disk it is one safetensors file
    per key with the metadata in its header, replaced atomically, with a checksum of the arrays; a
    damaged file causes a warning and counts as absent.

    Args:
        folder: location of the state on disk, shared between processes; by default it is kept in
            memory, and no progress is shown.
        read_only: save nothing and show no progress, for all processes of a run but the first.
    """

    def __init__(self, folder: str | Path | None = None, *, read_only: bool = False) -> None:
        self.folder = None if folder is None else Path(folder)
        self._read_only = read_only
        self._tracker: Any = None
        self._states: dict[str, tuple[str, State]] = {}

    def attach(self, tracker: Any) -> None:
        """Send metrics to a tracking run (`log_metrics`, `log_trial`); None discards them."""
        self._tracker = tracker

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Log metrics (flat names such as `pretrain/loss`) on the current run."""
        if self._tracker is not None:
            self._tracker.log_metrics(metrics, step)

    def log_trial(self, row: dict[str, Any], plan: str) -> None:
        """Log a finished trial, a row of the trials table of a plan, as a child run."""
        if self._tracker is not None:
            self._tracker.log_trial(row, plan)

    def progress_bar(
        self, desc: str, total: int, unit: str = "it", items: Iterable[Any] | None = None
    ) -> Any:
        """A tqdm bar over `items`, or to advance manually; shown on a terminal only."""
        from tqdm import tqdm

        hidden = True if self.folder is None or self._read_only else None  # None: if no terminal
        return tqdm(items, desc, total, unit=unit, leave=False, disable=hidden)

    def save_state(
        self,
        key: str,
        fingerprint: str,
        arrays: "dict[str, np.ndarray] | None" = None,
        meta: dict[str, Any] | None = None,
        *,
        keep_previous: bool = False,
    ) -> None:
        """Save named arrays and JSON-like `meta` under `key`, atomically.

        `keep_previous` keeps the previous state too, which is loaded if this one is damaged.

        Raises: UserFacingError: the file cannot be written.
        """
        if self._read_only:
            return
        if self.folder is None:
            self._states[key] = (fingerprint, (dict(arrays or {}), dict(meta or {})))
            return
        import numpy as np
        from safetensors.numpy import save

        path = _state_path(self.folder, key)
        contiguous = {name: np.asarray(value, order="C") for name, value in (arrays or {}).items()}
        header = {"fingerprint": fingerprint, "meta": json.dumps(meta or {})}
        content = save(contiguous, {**header, "checksum": _checksum(contiguous)})
        if keep_previous and path.exists():
            path.replace(_previous(path))  # `load_state` reads it after a kill at this point
        write_atomically(path, content)

    def load_state(self, key: str, fingerprint: str) -> State | None:
        """The arrays and metadata saved under this key and fingerprint, or None."""
        if self.folder is None:
            saved_fingerprint, state = self._states.get(key, ("", None))
            return state if saved_fingerprint == fingerprint else None
        path = _state_path(self.folder, key)
        for file in (path, _previous(path)):
            state = _read_state(file, fingerprint) if file.exists() else None
            if state is not None:
                return state
        return None

    def delete_state(self, key: str) -> None:
        """Delete the state under `key`, if there is any."""
        self._states.pop(key, None)
        if self.folder is not None:
            path = _state_path(self.folder, key)
            for file in (path, _previous(path)):
                file.unlink(missing_ok=True)

    def workspace(self, name: str, fingerprint: str) -> Path:
        """A folder that persists across runs; emptied when the fingerprint changes."""
        root = self.folder or self._temporary
        folder = _state_path(root, name).with_suffix("")
        stored = folder / ".fingerprint"
        if not stored.exists() or stored.read_text() != fingerprint:
            shutil.rmtree(folder, ignore_errors=True)
            write_atomically(stored, fingerprint.encode())
        return folder

    @cached_property
    def _temporary(self) -> Path:
        return Path(tempfile.mkdtemp(prefix="run-state-"))


def _state_path(folder: Path, key: str) -> Path:
    if not _KEY.fullmatch(key) or ".." in key:
        raise ValueError(f"a state key is letters, digits, '_', '-', '.' and '/', got {key!r}")
    return folder / f"{key}.safetensors"


def _previous(path: Path) -> Path:
    return path.with_name(f".{path.name}.former")


def _read_state(path: Path, fingerprint: str) -> State | None:
    """Content of a state file; None if its fingerprint differs or, with a warning, if damaged."""
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
        what = f"{path}: damaged state ({error}); the previous one is used, or it is made again"
        warnings.warn(what, stacklevel=3)
        return None


def _checksum(arrays: "dict[str, np.ndarray]") -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        value = arrays[name]
        digest.update(f"{name} {value.dtype} {value.shape}".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()


def write_atomically(path: Path, content: bytes) -> None:
    """Write a temporary file, flush it to disk and rename it to `path`.

    Raises: UserFacingError: the file cannot be written.
    """
    with replacing_file(path) as partial, partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def replacing_file(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, renamed to `path` when the block ends without error.

    Raises: UserFacingError: the file cannot be written.
    """
    partial = _temporary(path, "partial")
    with write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield partial
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)  # still there after an error, or if it was a hard link


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """A new folder that replaces `path` when the block ends without error.

    After a kill, there is the old folder, the new one or none, never a mixture.

    Raises: UserFacingError: the folder cannot be written.
    """
    partial, former = _temporary(path, "partial"), _temporary(path, "former")
    with write_errors(path):
        partial.mkdir(parents=True)
        try:
            yield partial
            if path.exists():
                path.replace(former)
            partial.replace(path)
            shutil.rmtree(former, ignore_errors=True)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _temporary(path: Path, suffix: str) -> Path:
    """A hidden name beside `path` that no other process or machine uses."""
    return path.with_name(f".{path.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.{suffix}")


@contextmanager
def write_errors(path: Path) -> Iterator[None]:
    """Convert an I/O error of the block, also one wrapped by a library, to a UserFacingError."""
    try:
        yield
    except UserFacingError:
        raise
    except Exception as error:
        from safetensors import SafetensorError  # its I/O errors are no OSError

        for cause in (error, error.__cause__):
            if isinstance(cause, (OSError, SafetensorError)):
                raise disk_error(cause, path) from error
        raise


def disk_error(error: Exception, where: object) -> UserFacingError:
    """One line for an I/O error of the file `where`."""
    what = getattr(error, "strerror", None) or str(error)
    file = getattr(error, "filename", None)
    if file and str(file) != str(where):
        what = f"{what} ({file})"
    remedy = "check its rights and the free space, then run again (finished work is reused)"
    return UserFacingError(where, what, remedy)
