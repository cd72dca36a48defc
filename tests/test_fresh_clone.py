"""The README's first command in a fresh clone of what is committed."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT


@pytest.mark.slow
def test_make_run_in_a_fresh_clone_ends_with_the_numbers_and_the_report(tmp_path: Path) -> None:
    ready = sorted((ROOT / ".venv").glob(".ready-*"))
    if shutil.which("git") is None or not (ROOT / ".git").exists() or not ready:
        pytest.skip("not a git checkout with an environment of `make install`")
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
    # Uses the installed environment, as installing takes minutes, and the code of the clone.
    torch = ready[0].name.removeprefix(".ready-")
    command = ["make", "run", f"VENV={ROOT / '.venv'}", f"TORCH={torch}", "-o", str(ready[0])]
    environment = {**os.environ, "PYTHONPATH": str(clone / "src")}
    environment.pop("MAKEFLAGS", None)
    done = subprocess.run(
        command, cwd=clone, env=environment, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    report = clone / "data/08_reporting/sample/report.html"
    assert str(report) in done.stdout
    assert report.stat().st_size < 6_000_000
    metrics = json.loads((report.parent / "metrics.json").read_text())
    assert metrics["zero_shot"]["top1"] > 2 / 8
    status = subprocess.check_output(["git", "status", "--porcelain"], cwd=clone, text=True)
    assert status == "", "all files of a run are tracked or ignored"
    assert "Warning" not in done.stderr, done.stderr[-2000:]
