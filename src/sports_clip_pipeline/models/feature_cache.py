"""Features by content: what was computed for these bytes and weights is read, not remade."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save

from sports_clip_pipeline.journal.disk import write_atomically

_KEYS = "keys"


class FeatureCache:
    """A folder of feature spaces, shared by all studies; safe to delete at any time."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)

    def space(self, description: dict[str, Any]) -> FeatureSpace:
        """The space for one tower, its weights, view and resolution.

        Args:
            description: JSON-like; every value that changes the features stands in it.
        """
        text = json.dumps(description, sort_keys=True)
        folder = self.root / hashlib.sha256(text.encode()).hexdigest()[:16]
        if not (folder / "space.json").exists():
            write_atomically(folder / "space.json", text.encode())
        return FeatureSpace(folder)


class FeatureSpace:
    """Blocks of rows, each addressed by a 32-byte key.

    A block is one safetensors file, named by its content's keys and renamed into place, so a
    killed run loses at most the block at hand; an unreadable block is deleted and made again.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._where: dict[bytes, tuple[str, int]] = {}
        self.reread()

    def __len__(self) -> int:
        return len(self._where)

    def missing(self, keys: list[bytes]) -> list[int]:
        """Positions in `keys` that are not kept; of equal keys the first position alone."""
        seen = set(self._where)
        positions = []
        for position, key in enumerate(keys):
            if key not in seen:
                seen.add(key)
                positions.append(position)
        return positions

    def reread(self) -> None:
        """Learn of the blocks that other processes have put there."""
        known = {file for file, _ in self._where.values()}
        for path in sorted(self.folder.glob("*.safetensors")):
            if path.name not in known:
                self._index(path)

    def append(self, keys: list[bytes], arrays: dict[str, np.ndarray]) -> None:
        """Keep one block: row i of every array belongs to `keys[i]`.

        Raises: ValueError: an array has another number of rows.
        """
        for name, value in arrays.items():
            if len(value) != len(keys):
                raise ValueError(f"{name} has {len(value)} rows for {len(keys)} keys")
        block = np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(len(keys), 32)
        path = self.folder / f"{hashlib.sha256(block.tobytes()).hexdigest()[:16]}.safetensors"
        write_atomically(path, save({_KEYS: block, **arrays}))
        self._index(path)

    def gather(self, keys: list[bytes]) -> dict[str, np.ndarray]:
        """All arrays with one row a key, in the order of `keys`.

        Raises: KeyError: a key is not kept.
        """
        by_file: dict[str, list[tuple[int, int]]] = {}
        for position, key in enumerate(keys):
            file, row = self._where[key]
            by_file.setdefault(file, []).append((position, row))
        gathered: dict[str, np.ndarray] = {}
        for file, pairs in by_file.items():
            positions, rows = np.array(pairs).T
            for name, value in load_file(self.folder / file).items():
                if name == _KEYS:
                    continue
                if name not in gathered:
                    gathered[name] = np.empty((len(keys), *value.shape[1:]), value.dtype)
                gathered[name][positions] = value[rows]
        return gathered

    def _index(self, path: Path) -> None:
        try:
            with safe_open(path, framework="numpy") as file:
                keys = file.get_tensor(_KEYS)
        except SafetensorError:
            path.unlink(missing_ok=True)
            return
        for row, key in enumerate(keys):
            self._where[key.tobytes()] = (path.name, row)
