"""Feature cache addressed by content, memory-mapped feature rows, concatenated encoders."""

import hashlib
import json
import mmap
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save

from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.io.state import write_atomically, write_errors

_KEYS = "keys"


class FeatureCache:
    """A folder of feature spaces, shared by all studies; safe to delete at any time."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)

    def space(self, description: dict[str, Any]) -> "FeatureSpace":
        """The space of a JSON-like description of everything that the features depend on."""
        text = json.dumps(description, sort_keys=True)
        folder = self.root / hashlib.sha256(text.encode()).hexdigest()[:16]
        if not (folder / "space.json").exists():
            write_atomically(folder / "space.json", text.encode())
        return FeatureSpace(folder)


class FeatureSpace:
    """Feature rows addressed by 32-byte keys, in blocks, each one safetensors file.

    A killed run loses at most the current block; an unreadable one is deleted and computed again.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._index: dict[bytes, tuple[str, int]] = {}
        self.reread()

    def missing(self, keys: list[bytes]) -> list[int]:
        """Positions in `keys` that are not stored; of equal keys the first position alone."""
        first: dict[bytes, int] = {}
        for position, key in enumerate(keys):
            first.setdefault(key, position)
        return [position for key, position in first.items() if key not in self._index]

    def reread(self) -> None:
        """Index the blocks that other processes have written."""
        indexed = {file for file, _ in self._index.values()}
        for path in sorted(self.folder.glob("*.safetensors")):
            if path.name not in indexed:
                self._add_to_index(path)

    def append(self, keys: list[bytes], arrays: dict[str, np.ndarray]) -> None:
        """Store one block: row i of every array belongs to `keys[i]`.

        Raises: ValueError: an array has another number of rows.
        """
        for name, value in arrays.items():
            if len(value) != len(keys):
                raise ValueError(f"{name} has {len(value)} rows for {len(keys)} keys")
        block = np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(len(keys), 32)
        path = self.folder / f"{hashlib.sha256(block.tobytes()).hexdigest()[:16]}.safetensors"
        write_atomically(path, save({_KEYS: block, **arrays}))
        self._add_to_index(path)

    def gather(self, keys: list[bytes], names: Sequence[str] = ()) -> dict[str, np.ndarray]:
        """Arrays with one row for each key, in scratch files.

        Args:
            names: of the arrays; all of them by default.
        Raises: KeyError: a key is not stored.
        """
        return mean_of_spaces([self], keys, names)

    def blocks(self, keys: list[bytes]) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
        """The rows of `keys` file by file, with their positions in `keys`. Raises: KeyError."""
        by_file: dict[str, list[tuple[int, int]]] = {}
        for position, key in enumerate(keys):
            file, row = self._index[key]
            by_file.setdefault(file, []).append((position, row))
        for file, pairs in by_file.items():
            positions, rows = np.array(pairs).T
            arrays = load_file(self.folder / file)
            yield positions, {n: value[rows] for n, value in arrays.items() if n != _KEYS}

    def _add_to_index(self, path: Path) -> None:
        try:
            with safe_open(path, framework="numpy") as file:
                keys = file.get_tensor(_KEYS)
        except SafetensorError:
            path.unlink(missing_ok=True)
            return
        for row, key in enumerate(keys):
            self._index[key.tobytes()] = (path.name, row)


def mean_of_spaces(
    spaces: Sequence[FeatureSpace], keys: list[bytes], names: Sequence[str] = ()
) -> dict[str, np.ndarray]:
    """Means over several spaces, of the stored type; else as `FeatureSpace.gather`."""
    total: dict[str, np.ndarray] = {}
    dtypes: dict[str, np.dtype] = {}
    for space in spaces:
        for positions, arrays in space.blocks(keys):
            for name in names or arrays:
                value = arrays[name]
                dtypes[name] = value.dtype
                if len(spaces) > 1:
                    value = value.astype(np.float32) / len(spaces)
                if name not in total:
                    shape = (len(keys), *value.shape[1:])
                    total[name] = scratch_array(space.folder, shape, value.dtype)
                total[name][positions] += value
                release_pages(total[name])
    return {name: value.astype(dtypes[name], copy=False) for name, value in total.items()}


class FeatureRows:
    """Selected rows (M,) of an array (N, D), read on demand; all by default.

    Pages of a mapped file are released.
    """

    def __init__(self, source: np.ndarray, rows: np.ndarray | None = None) -> None:
        self._source = source
        self._rows = np.arange(len(source)) if rows is None else rows
        self.shape = (len(self._rows), *source.shape[1:])

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: Any) -> np.ndarray:
        """A copy (B, D) of the rows at `index` (B,)."""
        rows: np.ndarray = np.asarray(self._source[self._rows[index]])
        release_pages(self._source)
        return rows

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype)

    def digest(self) -> str:
        """64 hex digits: the sha256 of type, shape and content."""
        digest = hashlib.sha256(f"{self._source.dtype} {self.shape}".encode())
        digest.update(np.ascontiguousarray(self[:]).data)
        return digest.hexdigest()


def scratch_array(folder: Path, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Zeros in an already unlinked mapped file on the disk of a folder.

    Raises: UserFacingError: the disk is full.
    """
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    if size == 0:
        return np.zeros(shape, dtype)
    with write_errors(folder), TemporaryFile(dir=folder) as file:
        if hasattr(os, "posix_fallocate"):
            # Writing to a mapped file on a full disk would kill the process with SIGBUS.
            os.posix_fallocate(file.fileno(), 0, size)
        return np.memmap(file, dtype, "w+", shape=shape)


def release_pages(array: np.ndarray) -> None:
    """Release the resident pages of a memory-mapped array; its content stays in the file.

    Copies on write (mode `c`) and other arrays are left alone.
    """
    mapped = getattr(array, "_mmap", None)
    if mapped is not None and getattr(array, "mode", "c") != "c" and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


ADDITIONAL = "additional."


def additional_key(encoder: str) -> str:
    """Name of an additional encoder's features among the arrays of a corpus."""
    return ADDITIONAL + encoder


def concat_features(
    arrays: Mapping[str, np.ndarray], additional_encoders: Sequence[str] | None = None
) -> tuple[np.ndarray, tuple[int, ...]]:
    """Concatenate the features of all encoders column-wise.

    Args:
        arrays: of one corpus: `features` (N, D₀), and `additional.<encoder>` (N, Dₖ).
        additional_encoders: those to use, in this order; None uses all, by name.
    Returns: (N, ΣD) float32, the first encoder's columns first, and each encoder's width. For
        `features` (2, 3) and `additional.lite0` (2, 4): (2, 7) and (3, 4).

    Raises:
        UserFacingError: an additional encoder has no features.
        ValueError: encoders have different numbers of rows.
    """
    stored = sorted(key for key in arrays if key.startswith(ADDITIONAL))
    if additional_encoders is None:
        additional_encoders = [key.removeprefix(ADDITIONAL) for key in stored]
    for encoder in additional_encoders:
        if additional_key(encoder) not in arrays:
            raise UserFacingError(
                f"features of the additional encoder {encoder}",
                f"are not there (additional_encoders: {', '.join(stored) or 'none'})",
                f"add {encoder} to embed.additional_encoders and run `kedro run --pipelines=embed`",
            )
    blocks = [arrays["features"], *(arrays[additional_key(name)] for name in additional_encoders)]
    if len({len(block) for block in blocks}) > 1:
        rows = ", ".join(str(len(block)) for block in blocks)
        raise ValueError(f"encoders have features of {rows} images, wanted one number")
    widths = tuple(block.shape[1] for block in blocks)
    return np.hstack([block.astype(np.float32, copy=False) for block in blocks]), widths
