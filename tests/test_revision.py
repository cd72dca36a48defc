from __future__ import annotations

import subprocess

import pytest

from sports_clip_pipeline.io.fingerprint import git_state


def git(folder, *words):
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    command = ["git", "-C", str(folder), *identity, *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def work_tree(tmp_path):
    git(tmp_path, "init", "-q")
    (tmp_path / "a.txt").write_text("one")
    git(tmp_path, "add", "a.txt")
    git(tmp_path, "commit", "-q", "-m", "One")
    return tmp_path


def test_a_clean_tree_has_its_commit(work_tree):
    commit = git(work_tree, "rev-parse", "HEAD")

    assert git_state(work_tree) == {"commit": commit, "dirty": False}


def test_a_changed_file_makes_the_tree_dirty_from_any_folder_within(work_tree):
    (work_tree / "a.txt").write_text("two")
    (work_tree / "within").mkdir()

    assert git_state(work_tree / "within")["dirty"] is True


def test_a_folder_without_git_has_no_commit(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))

    assert git_state(tmp_path) == {"commit": "unknown", "dirty": None}


def test_a_tree_whose_changes_git_cannot_list_is_not_called_clean(work_tree):
    commit = git(work_tree, "rev-parse", "HEAD")
    (work_tree / ".git" / "index").write_bytes(b"no index")

    assert git_state(work_tree) == {"commit": commit, "dirty": None}
