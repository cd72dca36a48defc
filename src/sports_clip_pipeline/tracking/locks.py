"""File locks: one process at a time creates the store, and the dead are told from the living.

A POSIX lock belongs to the process that took it. The kernel drops it when that process ends in
whatever way, across containers and reboots, and forked workers do not inherit it.
"""

from __future__ import annotations

import fcntl
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

_OWN: dict[str, IO[str]] = {}


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the lock of `path` (created where it is missing); waits for another holder."""
    with path.open("a") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        yield


def show_life(folder: Path, uri: str) -> str:
    """A name that others see alive for as long as this process runs and does not end it.

    Args:
        folder: where the signs of all processes of the project stand.
        uri: the store that the process records its run in.
    """
    folder.mkdir(parents=True, exist_ok=True)
    name = uuid.uuid4().hex
    file = _sign(folder, name).open("w")
    fcntl.lockf(file, fcntl.LOCK_EX)
    file.write(uri)
    file.flush()
    _OWN[name] = file
    return name


def end_life(folder: Path, name: str) -> None:
    """Take the sign of `name` away; a sign that is gone is no error."""
    _sign(folder, name).unlink(missing_ok=True)
    fall_silent(name)


def fall_silent(name: str) -> None:
    """Leave the sign of `name` standing, but dead: its run is for the next start to close."""
    if name in _OWN:
        _OWN.pop(name).close()


def is_alive(folder: Path, name: str) -> bool:
    """Whether the process that shows itself as `name` still runs; this one counts too."""
    path = _sign(folder, name)
    if name in _OWN:
        return True
    try:
        with path.open("r+") as file:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return False
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False


def dead(folder: Path, uri: str) -> list[str]:
    """Names whose processes ended without taking their sign away, of the runs in `uri`."""
    if not folder.is_dir():
        return []
    return [
        path.stem
        for path in sorted(folder.glob("*.alive"))
        if path.stem not in _OWN and _is_abandoned(path, uri)
    ]


def _is_abandoned(path: Path, uri: str) -> bool:
    try:
        with path.open("r+") as file:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return file.read() == uri
    except (BlockingIOError, PermissionError, FileNotFoundError):
        return False


def _sign(folder: Path, name: str) -> Path:
    return folder / f"{name}.alive"
