import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from sports_clip_pipeline.io.fingerprint import code_digest, fingerprint, git_state


@dataclass(frozen=True)
class Block:
    rate: float = 0.1


@dataclass(frozen=True)
class Other:
    rate: float = 0.1


def test_equal_parts_give_equal_fingerprints() -> None:
    assert fingerprint(Block(), {"a": 1, "b": 2}) == fingerprint(Block(0.1), {"b": 2, "a": 1})
    assert len(fingerprint()) == 32


def test_any_change_gives_another_fingerprint() -> None:
    zeros = np.zeros(4, np.float32)
    parts = [
        (Block(),),
        (Block(0.2),),
        (Other(),),
        (zeros,),
        (zeros.astype(np.float64),),
        (zeros.reshape(2, 2),),
        (b"ab",),
        (b"a", b"b"),
        ("ab",),
        (json,),
    ]
    assert len({fingerprint(*part) for part in parts}) == len(parts)


def test_of_code_the_syntax_counts_and_that_of_what_it_imports(tmp_path: Path) -> None:
    package = tmp_path / "p"
    (package / "sub").mkdir(parents=True)
    used = package / "sub" / "used.py"
    importer = (
        'def f(x):\n    """Double."""\n    from p.sub import used\n    return 2 * used.one(x)\n'
    )
    digests = []
    for text, of_used in (
        (importer, "one = int"),
        ('"""New."""\n\n# twice\n' + importer.replace("Double", "Twice"), "one = int  # or float"),
        (importer.replace("2 *", "3 *"), "one = int"),
        (importer, "one = float"),
        (importer, "from p import deep\none = int"),
    ):
        (package / "top.py").write_text(text)
        used.write_text(of_used)
        digests.append(code_digest("p.top", package))
    (package / "deep.py").write_text("x = 1")
    digests.append(code_digest("p.top", package))
    assert digests[0] == digests[1]
    assert len(set(digests)) == 5


def test_parts_of_another_kind_are_refused() -> None:
    with pytest.raises(TypeError, match="cannot fingerprint a object"):
        fingerprint(object())


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def work_tree(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q")
    (tmp_path / "a.txt").write_text("one")
    git(tmp_path, "add", "a.txt")
    git(tmp_path, "commit", "-q", "-m", "One")
    return tmp_path


def test_git_state_has_the_commit_and_whether_files_differ(work_tree: Path) -> None:
    commit = git(work_tree, "rev-parse", "HEAD")
    assert git_state(work_tree) == {"commit": commit, "dirty": False}
    (work_tree / "a.txt").write_text("two")
    (work_tree / "within").mkdir()
    assert git_state(work_tree / "within") == {"commit": commit, "dirty": True}
    (work_tree / ".git" / "index").write_bytes(b"no index")
    assert git_state(work_tree) == {"commit": commit, "dirty": None}


def test_git_state_outside_a_work_tree_is_unknown(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_state(tmp_path) == {"commit": "unknown", "dirty": None}
