"""Fingerprints of configuration, code and input data, for deciding what may be reused."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import json
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
