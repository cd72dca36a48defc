from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    given = [sys.executable, "-W", "error", "-m", "sports_clip_sample", *arguments]
    source = str(Path(__file__).resolve().parents[2] / "src")
    return subprocess.run(
        given, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": source}
    )


def test_help_names_the_options_and_the_form_of_the_archives() -> None:
    shown = command("--help")
    assert shown.returncode == 0
    for word in ("--out", "--size", "--seed", "captions.txt", "train_labels.csv", "default: 800"):
        assert word in shown.stdout


def test_a_sample_is_written_without_a_word_where_there_is_no_terminal(tmp_path: Path) -> None:
    done = command("--out", str(tmp_path / "raw"), "--size", "40")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert {path.name for path in (tmp_path / "raw").iterdir()} == {
        "flickr8k.zip",
        "sports.zip",
        "sample.json",
    }


def test_a_bad_size_ends_in_one_line_with_value_and_remedy(tmp_path: Path) -> None:
    refused = command("--out", str(tmp_path), "--size", "7")
    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
    assert "--size: wanted an integer from 40" in refused.stderr
    assert "got 7" in refused.stderr


def test_the_package_is_imported_without_drawing_libraries() -> None:
    code = "import sys, sports_clip_sample as s; print('PIL' in sys.modules, s.__all__)"
    source = str(Path(__file__).resolve().parents[2] / "src")
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": source},
    )  # fmt: skip
    assert shown.stdout.strip() == "False ['write_sample']"
