"""What a run came from: the commit of the code and the device it computes on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from sports_clip_pipeline.revision import UNKNOWN, git_state

_WAIT_S = 10


def git_tags(project: Path) -> dict[str, str]:
    """`git.commit` and `git.dirty` of the project; each `unknown` where git cannot tell."""
    state = git_state(project)
    commit, dirty = state["commit"], state["dirty"]
    told = {"git.commit": commit, "git.dirty": UNKNOWN if dirty is None else str(dirty).lower()}
    return told if commit == UNKNOWN else {**told, "mlflow.source.git.commit": commit}


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
        names = _driver_names()
    return ", ".join(name for name in names if name) or "cpu"


def _driver_names() -> list[str]:
    """The GPUs that the driver lists; none where it is not installed, fails or hangs."""
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_WAIT_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return done.stdout.strip().split("\n")
