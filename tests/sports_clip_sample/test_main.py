import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT


def run_python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )  # fmt: skip


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return run_python("-W", "error", "-m", "sports_clip_sample", *arguments)


def test_help_lists_the_options_and_the_format_of_the_archives() -> None:
    shown = command("--help")
    assert shown.returncode == 0
    for word in ("--out", "--size", "--seed", "captions.txt", "train_labels.csv", "default: 800"):
        assert word in shown.stdout


def test_without_a_terminal_a_sample_is_written_silently(tmp_path: Path) -> None:
    done = command("--out", str(tmp_path / "raw"), "--size", "40")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    names = {"flickr8k.zip", "sports.zip", "sample.json"}
    assert {path.name for path in (tmp_path / "raw").iterdir()} == names


def test_a_bad_size_ends_in_one_line_with_value_and_remedy(tmp_path: Path) -> None:
    done = command("--out", str(tmp_path), "--size", "7")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "--size: wanted an integer from 40" in done.stderr
    assert "got 7" in done.stderr


def test_the_package_is_imported_without_drawing_libraries() -> None:
    code = "import sys, sports_clip_sample as s; print('PIL' in sys.modules, s.__all__)"
    assert run_python("-c", code).stdout.strip() == "False ['write_sample']"
