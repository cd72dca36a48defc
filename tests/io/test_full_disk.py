"""Runs on a disk that cannot be written: one line with file and remedy, finished work is kept."""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.conftest import error_line

pytestmark = pytest.mark.slow

Kedro = Callable[..., CompletedProcess[str]]
REPORTS = "data/08_reporting/sample"
# A trial that the finished study does not have, and that is fitted quickly.
ONE_TRIAL = (
    "--params=finetune.fractions=0.25,finetune.seeds_at_many_labels=1,"
    "finetune.select=logreg,finetune.methods.logreg.c=5.0"
)
# Mounts in a namespace of their own, which end with the command.
UNSHARE = ("unshare", "--map-root-user", "--mount")
# Moves a folder to a disk with little free space, runs a command, and copies the result.
ON_A_SMALL_DISK = """
folder=$1 after=$2 free_kb=$3; shift 3
set -e
cp -a "$folder/." "$after"
mount -t tmpfs -o size=256m tmpfs "$folder"
cp -a "$after/." "$folder"
rm -r "$after"
used_kb=$(df --output=used -k "$folder" | tail -n 1)
mount -o remount,size=$((used_kb + free_kb))k "$folder"
set +e
"$@"
code=$?
cp -a "$folder" "$after"
exit $code
"""


def digests(folder: Path) -> dict[str, str]:
    """sha256 of every file below a folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def test_folder_without_write_permission(finished_run: Path, own_run: Path, kedro: Kedro) -> None:
    under: tuple[str, ...] = ()
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("setpriv is missing, and root may write everywhere")
        under = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
    folder = own_run / REPORTS
    folder.chmod(0o555)
    try:
        line = error_line(kedro(own_run, "run", "--pipelines=report", under=under))
    finally:
        folder.chmod(0o755)
    assert f"{folder}/" in line
    assert "Permission denied" in line and "check its rights" in line
    assert digests(folder) == digests(finished_run / REPORTS)


@pytest.mark.parametrize(
    ("folder_name", "file", "arguments"),
    [
        (REPORTS, "report.html", ["--pipelines=report"]),
        ("data/06_models/sample/state/finetune", "", ["--pipelines=finetune", ONE_TRIAL]),
    ],
)
def test_full_disk(
    own_run: Path, kedro: Kedro, tmp_path: Path, folder_name: str, file: str, arguments: list[str]
) -> None:
    mount = ["sh", "-c", f"mount -t tmpfs -o size=1m tmpfs {tmp_path}"]
    if subprocess.run([*UNSHARE, *mount], capture_output=True).returncode:
        pytest.skip("no disk can be mounted in a namespace here")
    folder, after = own_run / folder_name, tmp_path / "after"
    after.mkdir()
    before = digests(folder)
    free_kb = (folder / file).stat().st_size // 1024 // 2 if file else 0
    under = (*UNSHARE, "sh", "-c", ON_A_SMALL_DISK, "sh", str(folder), str(after), str(free_kb))
    line = error_line(kedro(own_run, "run", *arguments, under=under))
    assert f"{folder}/{file}" in line
    assert "No space left on device; check its rights and the free space, then run again" in line
    left = digests(after)
    assert set(left) == set(before), "nothing is lost, and no partial file stays"
    if file:
        assert left[file] == before[file]
    else:
        assert left == before
