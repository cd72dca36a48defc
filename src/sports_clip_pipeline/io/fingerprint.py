"""Fingerprints of configuration, code, data and the git commit."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import json
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import BaseModel


def fingerprint(*parts: Any) -> str:
    """32 hex digits that change when any part changes.

    Args:
        parts: pydantic models, dataclasses, JSON-like values, bytes, NumPy arrays (by dtype, shape and content),
            and modules or functions (by their source text).
    Raises: TypeError: a part of another kind.
    """
    digest = hashlib.sha256()
    for part in parts:
        for chunk in _chunks(part):
            digest.update(len(chunk).to_bytes(8, "big"))
            digest.update(chunk)
    return digest.hexdigest()[:32]


def file_sha256(path: Path) -> str:
    """64 hex digits: the sha256 of a file's content, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _chunks(part: Any) -> list[bytes]:
    if isinstance(part, bytes):
        return [b"bytes", part]
    if isinstance(part, ModuleType) or inspect.isfunction(part) or inspect.isclass(part):
        return [b"code", inspect.getsource(part).encode()]
    if isinstance(part, BaseModel):
        part = {"__class__": type(part).__name__, **part.model_dump()}
    if dataclasses.is_dataclass(part):
        part = {"__class__": type(part).__name__, **dataclasses.asdict(part)}  # type: ignore[arg-type]
    if hasattr(part, "dtype") and hasattr(part, "tobytes"):
        return [b"array", str(part.dtype).encode(), repr(part.shape).encode(), part.tobytes()]
    try:
        return [b"json", json.dumps(part, sort_keys=True, ensure_ascii=False).encode()]
    except TypeError as error:
        raise TypeError(f"cannot fingerprint a {type(part).__name__}: {error}") from error


UNKNOWN = "unknown"
_WAIT_S = 10


def git_state(folder: Path | None = None) -> dict[str, Any]:
    """Commit of the source tree that this code runs from, and whether files differ from it.

    Args:
        folder: where to ask; the folder of this file by default.
    Returns: `{commit: 40 hex digits, dirty: bool}`; `{commit: "unknown", dirty: None}` where the
        code does not run from a git work tree; `dirty` alone is None where git cannot tell.
    """
    place = folder or Path(__file__).parent
    tracked = folder is not None or _git(place, "ls-files", Path(__file__).name)
    commit = _git(place, "rev-parse", "HEAD") if tracked else None
    if not commit:
        return {"commit": UNKNOWN, "dirty": None}
    top = _git(place, "rev-parse", "--show-toplevel")
    changes = _git(Path(top) if top else place, "status", "--porcelain")
    return {"commit": commit, "dirty": None if changes is None else bool(changes)}


def _git(folder: Path, *words: str) -> str | None:
    """What git answers, or None where it fails, hangs or is not installed."""
    command = ["git", "-C", str(folder), *words]
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, timeout=_WAIT_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()
