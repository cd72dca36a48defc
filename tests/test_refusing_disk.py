"""A run on a disk that refuses: one line with file and remedy, and what was finished is kept."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.conftest import refusal

pytestmark = pytest.mark.slow

Kedro = Callable[..., CompletedProcess[str]]
REPORTS = "data/08_reporting/sample"
ANSWERS = "data/07_model_output/sample"
# A trial that the finished study does not have, and that is fitted in no time.
ONE_ARM = (
    "--params=finetune.fractions=0.25,finetune.seeds_at_many_labels=1,"
    "finetune.select=logreg,finetune.methods.logreg.c=5.0"
)
# Mounts in a namespace of their own: nobody else sees them, and they end with the command.
APART = ("unshare", "--map-root-user", "--mount")
# Puts a folder onto a disk that has little room beside what is in it, runs a command, and copies
# what the disk holds in the end to another folder.
ON_A_SMALL_DISK = """
folder=$1 after=$2 room_kb=$3; shift 3
set -e
cp -a "$folder/." "$after"
mount -t tmpfs -o size=256m tmpfs "$folder"
cp -a "$after/." "$folder"
rm -r "$after"
used_kb=$(df --output=used -k "$folder" | tail -n 1)
mount -o remount,size=$((used_kb + room_kb))k "$folder"
set +e
"$@"
code=$?
cp -a "$folder" "$after"
exit $code
"""
READ_ONLY = """
mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" || exit 99
shift
exec "$@"
"""


def contents(folder: Path) -> dict[str, str]:
    """Every file below a folder, hidden ones too, with the digest of its bytes."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


@pytest.fixture(scope="session")
def mounts(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Skips where this system lets nobody mount a disk of his own."""
    place = str(tmp_path_factory.mktemp("mounted"))
    try:
        script = f"mount -t tmpfs -o size=1m tmpfs {place} && mount -o remount,size=64k {place}"
        subprocess.run([*APART, "sh", "-c", script], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no disk can be mounted in a namespace here ({error})")


@pytest.fixture
def as_a_plain_user() -> tuple[str, ...]:
    """Runs a command without root's right to write into any folder."""
    if os.geteuid() != 0:
        return ()
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv is missing, and root may write everywhere")
    return ("setpriv", "--bounding-set=-dac_override,-dac_read_search")


def test_a_folder_of_somebody_else_is_named(
    finished_run: Path, own_run: Path, kedro: Kedro, as_a_plain_user: tuple[str, ...]
) -> None:
    folder = own_run / REPORTS
    folder.chmod(0o555)
    try:
        done = kedro(own_run, "run", "--pipelines=report", under=as_a_plain_user)
    finally:
        folder.chmod(0o755)
    line = refusal(done)
    assert f"{folder}/" in line
    assert "Permission denied; give this user the right to write there" in line
    assert contents(folder) == contents(finished_run / REPORTS)


def test_a_read_only_disk_is_named(
    finished_run: Path, own_run: Path, kedro: Kedro, mounts: None
) -> None:
    folder = own_run / ANSWERS
    under = (*APART, "sh", "-c", READ_ONLY, "sh", str(folder))
    line = refusal(kedro(own_run, "run", "--pipelines=predict", under=under))
    assert f"{folder}/" in line
    assert "Read-only file system; mount the disk for writing" in line
    assert contents(folder) == contents(finished_run / ANSWERS)


def test_a_full_disk_is_named_and_the_earlier_report_stays(
    finished_run: Path, own_run: Path, kedro: Kedro, mounts: None, tmp_path: Path
) -> None:
    folder, after = own_run / REPORTS, tmp_path / "after"
    after.mkdir()
    room_kb = (folder / "report.html").stat().st_size // 1024 // 2
    under = (*APART, "sh", "-c", ON_A_SMALL_DISK, "sh", str(folder), str(after), str(room_kb))
    line = refusal(kedro(own_run, "run", "--pipelines=report", under=under))
    assert f"{folder}/report.html: No space left on device (" in line
    assert "free some space, then run again" in line

    left, before = contents(after), contents(finished_run / REPORTS)
    assert set(left) == set(before), "nothing is lost, and nothing half stays"
    assert left["report.html"] == before["report.html"]
    for path in after.rglob("*.json"):
        json.loads(path.read_text())


def test_a_state_that_finds_no_room_is_named_and_the_states_before_it_stay(
    own_run: Path, kedro: Kedro, mounts: None, tmp_path: Path
) -> None:
    folder, after = own_run / "data/06_models/sample/state/finetune", tmp_path / "after"
    after.mkdir()
    before = contents(folder)
    under = (*APART, "sh", "-c", ON_A_SMALL_DISK, "sh", str(folder), str(after), "0")
    line = refusal(kedro(own_run, "run", "--pipelines=finetune", ONE_ARM, under=under))
    assert f"{folder}/trials/logreg/" in line
    assert ".safetensors: No space left on device (" in line
    assert contents(after) == before
