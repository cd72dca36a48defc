"""Where a run came from."""

import subprocess
import sys
from types import SimpleNamespace

from sports_clip_pipeline.tracking.provenance import device_name, git_tags


def _git(folder, *words):
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run(["git", "-C", str(folder), *identity, *words], check=True, capture_output=True)


def test_commit_and_dirt_are_told(tmp_path):
    _git(tmp_path, "init")
    _git(tmp_path, "commit", "--allow-empty", "-m", "a")
    clean = git_tags(tmp_path)
    (tmp_path / "new").touch()
    assert (clean["git.dirty"], git_tags(tmp_path)["git.dirty"]) == ("false", "true")
    assert len(clean["git.commit"]) == 40
    assert clean["mlflow.source.git.commit"] == clean["git.commit"]


def test_a_folder_without_history_is_unknown(tmp_path):
    assert git_tags(tmp_path) == {"git.commit": "unknown", "git.dirty": "unknown"}


def test_changes_that_git_cannot_list_are_unknown(tmp_path):
    _git(tmp_path, "init")
    _git(tmp_path, "commit", "--allow-empty", "-m", "a")
    (tmp_path / ".git" / "index").write_bytes(b"no index")
    tags = git_tags(tmp_path)
    assert tags["git.dirty"] == "unknown"
    assert len(tags["git.commit"]) == 40


def test_torch_names_the_devices_where_it_is_imported(monkeypatch):
    cuda = SimpleNamespace(
        is_available=lambda: True, device_count=lambda: 2, get_device_name="GPU {}".format
    )
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    assert device_name() == "GPU 0, GPU 1"
    cuda.is_available = lambda: False
    assert device_name() == "cpu"


def test_a_machine_without_a_driver_computes_on_its_cpu(monkeypatch):
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    assert device_name() == "cpu"
