"""How the source tree stands in git."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

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
