"""Features by content: what was computed for these bytes and weights is read, not remade."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save

from sports_clip_pipeline.journal.disk import write_atomically
from sports_clip_pipeline.models.feature_rows import release_pages, scratch_array

_KEYS = "keys"
_ROWS_AT_ONCE = 1024


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
        seen: set[bytes] = set()
        positions = []
        for position, key in enumerate(keys):
            if key not in self._where and key not in seen:
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

    def gather(self, keys: list[bytes], wanted: Sequence[str] = ()) -> dict[str, np.ndarray]:
        """Arrays with one row a key, in the order of `keys`, in scratch files.

        Args:
            wanted: names of the arrays; all of them by default.
        Raises: KeyError: a key is not kept.
        """
        gathered: dict[str, np.ndarray] = {}
        for positions, arrays in self.blocks(keys):
            for name, value in arrays.items():
                if not wanted or name in wanted:
                    _put(gathered, name, positions, value, len(keys), self.folder)
        return gathered

    def blocks(self, keys: list[bytes]) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
        """The rows of `keys`, as many at once as a file holds, with their positions in `keys`.

        Raises: KeyError: a key is not kept.
        """
        by_file: dict[str, list[tuple[int, int]]] = {}
        for position, key in enumerate(keys):
            file, row = self._where[key]
            by_file.setdefault(file, []).append((position, row))
        for file, pairs in by_file.items():
            positions, rows = np.array(pairs).T
            arrays = load_file(self.folder / file)
            yield positions, {n: value[rows] for n, value in arrays.items() if n != _KEYS}

    def _index(self, path: Path) -> None:
        try:
            with safe_open(path, framework="numpy") as file:
                keys = file.get_tensor(_KEYS)
        except SafetensorError:
            path.unlink(missing_ok=True)
            return
        for row, key in enumerate(keys):
            self._where[key.tobytes()] = (path.name, row)


def mean_of_spaces(spaces: Sequence[FeatureSpace], keys: list[bytes]) -> dict[str, np.ndarray]:
    """Means of what several spaces hold, one row a key, of the kept type, in scratch files.

    Raises: KeyError: a key is not kept.
    """
    if len(spaces) == 1:
        return spaces[0].gather(keys)
    total: dict[str, np.ndarray] = {}
    kept: dict[str, np.dtype] = {}
    for number, space in enumerate(spaces):
        for positions, arrays in space.blocks(keys):
            for name, value in arrays.items():
                share = value.astype(np.float32) / len(spaces)
                if number:
                    share = total[name][positions] + share
                _put(total, name, positions, share, len(keys), space.folder)
                kept[name] = value.dtype
    return {name: _as_type(kept[name], value, spaces[0].folder) for name, value in total.items()}


def _put(
    gathered: dict[str, np.ndarray],
    name: str,
    positions: np.ndarray,
    value: np.ndarray,
    count: int,
    folder: Path,
) -> None:
    """Write rows of a scratch file of `count` rows, which is made with the first ones."""
    if name not in gathered:
        gathered[name] = scratch_array(folder, (count, *value.shape[1:]), value.dtype)
    gathered[name][positions] = value
    release_pages(gathered[name])


def _as_type(dtype: np.dtype, values: np.ndarray, folder: Path) -> np.ndarray:
    """The values in another type, in a scratch file; as they are where they have it."""
    if values.dtype == dtype:
        return values
    cast = scratch_array(folder, values.shape, dtype)
    for start in range(0, len(values), _ROWS_AT_ONCE):
        cast[start : start + _ROWS_AT_ONCE] = values[start : start + _ROWS_AT_ONCE]
        release_pages(values)
        release_pages(cast)
    return cast
