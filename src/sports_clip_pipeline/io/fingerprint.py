"""Fingerprints of configuration, code, data and the git commit."""

import ast
import dataclasses
import hashlib
import json
from functools import cache
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

from sports_clip_pipeline.machine import command_output

_PACKAGE = Path(__file__).parents[1]
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_LIBRARIES = ("numpy", "scipy", "scikit-learn", "torch")


def fingerprint(*parts: Any) -> str:
    """Hash of configuration, data and code as 32 hex digits.

    Args:
        parts: pydantic models, dataclasses, JSON-like values, bytes, NumPy arrays (by dtype, shape
            and content), and modules (by `code_digest`).
    Raises: TypeError: a part of another kind.
    """
    digest = hashlib.sha256()
    for part in parts:
        for chunk in _chunks(part):
            digest.update(len(chunk).to_bytes(8, "big"))
            digest.update(chunk)
    return digest.hexdigest()[:32]


def file_sha256(path: Path) -> str:
    """The sha256 of a file's content as 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _chunks(part: Any) -> list[bytes]:
    if isinstance(part, bytes):
        return [b"bytes", part]
    if isinstance(part, ModuleType):
        return [b"code", code_digest(part.__name__).encode()]
    if hasattr(part, "model_dump"):  # a pydantic model
        part = {"__class__": type(part).__name__, **part.model_dump()}
    if dataclasses.is_dataclass(part):
        part = {"__class__": type(part).__name__, **dataclasses.asdict(part)}  # type: ignore[arg-type]
    if hasattr(part, "dtype") and hasattr(part, "tobytes"):
        return [b"array", str(part.dtype).encode(), repr(part.shape).encode(), part.tobytes()]
    try:
        return [b"json", json.dumps(part, sort_keys=True, ensure_ascii=False).encode()]
    except TypeError as error:
        raise TypeError(f"cannot fingerprint a {type(part).__name__}: {error}") from error


def code_digest(module: str, package: Path = _PACKAGE) -> str:
    """Hash of a module's code, of all it imports of this package, and of library versions.

    Imports inside functions count, those for type checkers do not; of a file the syntax counts,
    without docstrings, comments and layout.

    Args:
        module: its dotted name. package: folder of the package.
    Returns: 64 hex digits.
    """
    digests: dict[str, str] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = package.parent.joinpath(*name.split("."))
        path = path.with_suffix(".py") if not path.is_dir() else path / "__init__.py"
        if name not in digests and path.is_file():
            digests[name], imported = _syntax(path, path.stat().st_mtime_ns)
            waiting += [other for other in imported if other.startswith(f"{package.name}.")]
    versions = [(library, version(library)) for library in _LIBRARIES]
    return hashlib.sha256(repr((sorted(digests.items()), versions)).encode()).hexdigest()


@cache
def _syntax(path: Path, _changed_ns: int) -> tuple[str, list[str]]:
    """A file's hash, and the names it imports: modules, or what stands in them."""
    tree = ast.parse(path.read_bytes())
    for node in ast.walk(tree):
        if isinstance(node, _DOCUMENTED) and ast.get_docstring(node) is not None:
            del node.body[0]
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body.clear()
    imported = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            imported += [f"{node.module}", *(f"{node.module}.{each.name}" for each in node.names)]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest(), imported


def git_state(folder: Path | None = None) -> dict[str, Any]:
    """Git commit of the running source code, and whether the work tree has changes.

    Args:
        folder: a folder of the work tree; that of this file by default.
    Returns: `{commit: 40 hex digits, dirty: bool}`; `{commit: "unknown", dirty: None}` outside a
        git work tree; `dirty` alone is None if git cannot list the changes.
    """
    tree = folder or Path(__file__).parent
    is_tracked = folder is not None or _git(tree, "ls-files", Path(__file__).name)
    commit = _git(tree, "rev-parse", "HEAD") if is_tracked else None
    if not commit:
        return {"commit": "unknown", "dirty": None}
    top = _git(tree, "rev-parse", "--show-toplevel")
    changes = _git(Path(top) if top else tree, "status", "--porcelain")
    return {"commit": commit, "dirty": None if changes is None else bool(changes)}


def _git(folder: Path, *arguments: str) -> str | None:
    return command_output("git", "-C", str(folder), *arguments)
