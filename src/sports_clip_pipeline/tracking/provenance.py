"""What a run came from: the commit of the code and the device it computes on."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

_WAIT_S = 10


def git_tags(project: Path) -> dict[str, str]:
    """`git.commit` and `git.dirty` of the project; both `unknown` where git cannot tell."""
    commit = _said("git", "-C", str(project), "rev-parse", "HEAD")
    changes = _said("git", "-C", str(project), "status", "--porcelain")
    if commit is None or changes is None:
        return {"git.commit": "unknown", "git.dirty": "unknown"}
    dirty = str(bool(changes)).lower()
    return {"git.commit": commit, "git.dirty": dirty, "mlflow.source.git.commit": commit}


def device_name() -> str:
    """The GPUs by name, else `cpu`.

    PyTorch answers where it is imported already (it knows what this process may use), else the
    driver: importing PyTorch only to ask would cost seconds.
    """
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "cuda"):
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        names = [torch.cuda.get_device_name(index) for index in range(count)]
    else:
        names = (_said("nvidia-smi", "--query-gpu=name", "--format=csv,noheader") or "").split("\n")
    return ", ".join(name for name in names if name) or "cpu"


def _said(*command: str) -> str | None:
    """Standard output of a command; None where it is not installed, fails or hangs."""
    if shutil.which(command[0]) is None:
        return None
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_WAIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
