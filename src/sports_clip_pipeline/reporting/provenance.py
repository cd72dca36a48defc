"""How a result was made: commit, versions, machine."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from sports_clip_pipeline.machine import cores

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


def package_versions(packages: Iterable[str]) -> dict[str, str]:
    """Version of each installed distribution, and of Python; what is absent is left out."""
    versions = {"python": platform.python_version()}
    for name in packages:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def machine() -> str:
    """The processor's family and how many cores may be used, in words."""
    return f"{platform.system()} {platform.machine()}, {cores()} cores"


def describe_towers(embed_audit: Mapping[str, Any]) -> dict[str, str]:
    """Each tower with its weights and, where anything was computed, the backend, in words.

    Args:
        embed_audit: `image_tower`, `text_tower`, `weights_sha256` and `backends`, the last two by
            `image` and `text`; no backend where all features were there already.
    """
    towers = {}
    for kind in ("image", "text"):
        weights = embed_audit["weights_sha256"][kind][:12]
        words = f"{embed_audit[f'{kind}_tower']}, weights {weights}…"
        backend = embed_audit["backends"].get(kind)
        towers[kind] = f"{words}, by {backend['chosen']}" if backend else words
    return towers


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
